package store

import (
	"os"
	"strings"
)

// bootID names the operating system's run: it changes with every start of it, and with nothing else. Empty: not known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
