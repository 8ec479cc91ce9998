//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: pinning processes and reading their CPU clocks is written for Linux only")
	os.Exit(1)
}
