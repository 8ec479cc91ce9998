//go:build linux

package proc

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// CPU returns the CPU time, user and system, that all threads of process pid have used, ended ones included. /proc/PID/stat
// shows the same in steps of 10 ms; this reads the process's CPU clock (clock_getcpuclockid(3)), which counts nanoseconds.
func CPU(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED of the whole process
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedulerClock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// FamilyCPU returns the CPU time of process pid and its descendants, including children that have ended and been waited
// for. Each process's share is in steps of 10 ms.
func FamilyCPU(pid int) (time.Duration, error) {
	procs, err := procfs.AllProcs()
	if err != nil {
		return 0, err
	}
	all := make(map[int]procfs.ProcStat, len(procs))
	for _, p := range procs {
		if stat, err := p.Stat(); err == nil { // otherwise it has ended
			all[p.PID] = stat
		}
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("there is no process %d", pid)
	}
	var ticks time.Duration
	for id, p := range all {
		for up := id; up > 1; up = all[up].PPID {
			if up == pid {
				ticks += time.Duration(p.UTime) + time.Duration(p.STime) + time.Duration(p.CUTime) + time.Duration(p.CSTime)
				break
			}
		}
	}
	return ticks * time.Second / userHz, nil
}

// Resident returns the resident memory of process pid in bytes (VmRSS).
func Resident(pid int) (int64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	status, err := p.NewStatus()
	if err != nil {
		return 0, err
	}
	if status.VmRSS == 0 {
		return 0, fmt.Errorf("process %d has no resident memory", pid) // it has ended
	}
	return int64(status.VmRSS), nil
}

// Busy returns how long all cores together have been busy, interrupts included, since the machine started, in steps of
// 10 ms.
func Busy() (time.Duration, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, err
	}
	t := stat.CPUTotal
	ticks := math.Round((t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ) * userHz)
	return time.Duration(ticks) * time.Second / userHz, nil
}

// userHz is how many ticks of /proc make a second, on every Linux that Go runs on.
const userHz = 100

// RaiseFileLimit raises the limit of open files to the most that is allowed, for this process and those that it starts.
func RaiseFileLimit() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
}
