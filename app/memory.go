package main

import (
	"os"
)

// heapFloor is how large the heap may grow, in bytes, before the garbage collector begins to work for its size: with the
// few megabytes that a small server keeps alive it would otherwise run many times a second.
const heapFloor = 64 << 20

// ballast makes the heap look large to the garbage collector. It is never touched and so takes no memory.
var ballast []byte

// calmCollector raises the heap at which garbage collection starts to heapFloor, unless GOGC or GOMEMLIMIT say that the
// operator has decided otherwise.
func calmCollector() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		ballast = make([]byte, heapFloor/2)
	}
}
