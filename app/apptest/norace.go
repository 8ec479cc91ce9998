//go:build !race

package apptest

// buildFlags is empty: the tests run without the race detector, and so does the program.
var buildFlags []string
