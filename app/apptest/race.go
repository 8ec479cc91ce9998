//go:build race

package apptest

// buildFlags builds the program with the race detector, like the tests.
var buildFlags = []string{"-race"}
