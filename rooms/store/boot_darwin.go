package store

import "syscall"

// bootID returns a name for the current run of the operating system, which every start changes. Empty: not known.
func bootID() string {
	id, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
