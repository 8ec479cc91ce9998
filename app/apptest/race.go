//go:build race

package apptest

// buildFlags has the program built as the tests are.
var buildFlags = []string{"-race"}
