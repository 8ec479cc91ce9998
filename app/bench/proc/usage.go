//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the CPU time, user and system, of all threads that process pid has and has had. It is the sum that
// /proc/PID/stat shows in hundredths of a second, read from the process's CPU clock (clock_getcpuclockid(3)) and so not
// rounded.
func CPU(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED of the whole process
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedulerClock, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// FamilyCPU returns the CPU time of process pid and of all that it and its descendants have started, those that have ended
// with their parent; in steps of 10 ms for each.
func FamilyCPU(pid int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		ticks  int64
	}
	all := make(map[int]process)
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; see proc_pid_stat(5) for what follows it.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 15 {
			continue
		}
		var p process
		for _, i := range []int{1, 11, 12, 13, 14} { // ppid; utime, stime, cutime, cstime
			n, err := strconv.ParseInt(string(fields[i]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("/proc/%d/stat: %w", id, err)
			}
			if i == 1 {
				p.parent = int(n)
			} else {
				p.ticks += n
			}
		}
		all[id] = p
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("there is no process %d", pid)
	}
	var ticks int64
	for id, p := range all {
		for up := id; up > 1; up = all[up].parent {
			if up == pid {
				ticks += p.ticks
				break
			}
		}
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// Resident returns the resident memory of process pid in bytes (VmRSS).
func Resident(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, ok := bytes.Cut(status, []byte("VmRSS:"))
	if fields := bytes.Fields(after); ok && len(fields) > 0 {
		kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("no VmRSS in the status of process %d", pid)
}

// Busy returns how long all cores together have done something, interrupts included, since the machine started; in
// steps of 10 ms.
func Busy() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 8 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var ticks int64
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq; see proc_stat(5)
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz, nil
}

// userHz is the unit of /proc/stat on every Linux that Go runs on.
const userHz = 100

// RaiseFileLimit lets this process and those it starts open as many files as they may.
func RaiseFileLimit() error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &lim)
}
