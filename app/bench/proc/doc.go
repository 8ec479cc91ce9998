// Package proc runs the programs that the benchmarks measure, each on the core it is given, and reads what the kernel
// knows of them: CPU time to the nanosecond, resident memory. Linux only. It knows nothing of what they serve.
package proc
