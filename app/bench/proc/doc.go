// Package proc runs the programs that the benchmarks measure, each on a given core, and reads their CPU time, in nanoseconds, and
// resident memory from the kernel. Linux only. It knows nothing of what the programs do.
package proc
