package store

import "syscall"

// bootID names the operating system's run: it changes with every start of it, and with nothing else. Empty: not known.
func bootID() string {
	id, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
