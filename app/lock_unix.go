//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens the file, or makes it, and locks it for as long as it is open: the lock ends with the process, and the file
// stays. The lock is advisory, and a folder or a file system where there can be none is no reason not to start: then it is nil.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil && errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil, errors.Join(errors.New("it is in use by another process"), f.Close())
	}
	return f, nil
}
