//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"errors"
	"os"
	"syscall"
)

// lockFile opens or creates the file and locks it until it is closed or the process ends; the file stays. It returns nil if no
// lock is possible in this directory or file system: the lock is advisory, and the server works without it. It fails only if
// another process holds the lock.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil && errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return nil, errors.Join(errors.New("it is in use by another process"), f.Close())
	}
	return f, nil
}
