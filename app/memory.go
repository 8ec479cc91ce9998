package main

import (
	"os"
)

// heapFloor is how large the heap may grow, in bytes, before the garbage collector begins to work for its size: with the
// few megabytes that a small server keeps alive it would otherwise run many times a second.
const heapFloor = 64 << 20

// calmCollector raises the heap at which garbage collection starts to heapFloor, unless GOGC or GOMEMLIMIT say that the
// operator has decided otherwise. It does so by making the heap look large: what it returns is to be kept alive as long as
// the server runs; it is never touched, and so takes no memory.
func calmCollector() []byte {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, heapFloor/2)
}
