//go:build race

package inspect

// length is that of the logs that the memory's bound is tested with, in bytes: less under the race detector, which is
// slow, but still several times the bounds of what is held.
const length = 24 << 20
