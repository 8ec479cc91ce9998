package store

import (
	"os"
	"strings"
)

// bootID returns a name for the current run of the operating system, which every start changes. Empty: not known.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
