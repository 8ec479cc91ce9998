// Package peers has the servers that the benchmarks compare: how each is built and started, what protocol its clients speak, and
// how many spans it should make. What is measured does not belong here.
package peers
