//go:build !race

package inspect

// length is that of the logs that the memory's bound is tested with, in bytes.
const length = 200 << 20
