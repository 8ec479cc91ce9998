// Package peers knows the servers that the benchmarks compare: how each is built, started and found, what its clients
// speak, and how many spans it should make. What is measured of them does not belong here.
package peers
