//go:build !linux && !darwin

package store

// bootID names the operating system's run. Here it is not known.
func bootID() string { return "" }
