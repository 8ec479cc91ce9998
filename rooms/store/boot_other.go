//go:build !linux && !darwin

package store

// bootID returns an empty name: the current run of the operating system is not known.
func bootID() string { return "" }
