//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
)

// machine describes in one line what the figures were measured on.
func machine() string {
	cpu, kernel := runtime.GOARCH, ""
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
			cpu = cpus[0].ModelName
		}
		if release, err := fs.SysctlStrings("kernel.osrelease"); err == nil {
			kernel = strings.Join(release, " ")
		}
	}
	s := fmt.Sprintf("%s, %d cores, Linux %s, %s", cpu, runtime.NumCPU(), kernel, runtime.Version())
	if v, err := exec.Command("node", "--version").Output(); err == nil {
		s += ", Node " + strings.TrimSpace(strings.TrimPrefix(string(v), "v"))
	}
	return s
}
