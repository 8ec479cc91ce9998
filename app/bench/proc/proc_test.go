//go:build linux

package proc_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/app/bench/proc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// burn uses CPU time for d, some of it in the kernel.
func burn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		_, _ = os.Stat("/")
	}
}

func TestCPUIsWhatTheKernelAccounts(t *testing.T) {
	rusage := func() time.Duration {
		var ru syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	before, err := proc.CPU(os.Getpid())
	require.NoError(t, err)
	want := rusage()
	burn(200 * time.Millisecond)
	after, err := proc.CPU(os.Getpid())
	require.NoError(t, err)
	want = rusage() - want
	require.InDelta(t, want.Seconds(), (after - before).Seconds(), 0.02)
	_, err = proc.CPU(1<<22 - 1)
	require.Error(t, err)
}

func TestBusyIsAtLeastWhatThisProcessUses(t *testing.T) {
	before, err := proc.Busy()
	require.NoError(t, err)
	burn(200 * time.Millisecond)
	after, err := proc.Busy()
	require.NoError(t, err)
	require.Greater(t, after-before, 50*time.Millisecond)
}

func TestCPUOfAnotherProcess(t *testing.T) {
	p, err := proc.Start(proc.Command{Path: "/bin/sh", Args: []string{"-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo done; exec sleep 60"}})
	require.NoError(t, err)
	defer p.Stop(time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = p.Await(ctx, func(line string) string { return line })
	require.NoError(t, err)
	cpu, err := proc.CPU(p.PID())
	require.NoError(t, err)
	require.Greater(t, cpu, 10*time.Millisecond)
}

func TestResidentGrowsWithWhatIsTouched(t *testing.T) {
	before, err := proc.Resident(os.Getpid())
	require.NoError(t, err)
	const size = 64 << 20
	b, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	require.NoError(t, err)
	for i := 0; i < size; i += 4096 {
		b[i] = 1
	}
	after, err := proc.Resident(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, syscall.Munmap(b))
	require.InDelta(t, size, after-before, size/8)
}

func TestAProgramRunsOnItsCoreAlone(t *testing.T) {
	p, err := proc.Start(proc.Command{Path: "/bin/sh", Args: []string{"-c", "grep Cpus_allowed_list /proc/self/status; echo GOMAXPROCS=$GOMAXPROCS; exec sleep 60"}, Core: 0})
	require.NoError(t, err)
	defer p.Stop(5 * time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cores, err := p.Await(ctx, func(line string) string {
		list, ok := strings.CutPrefix(line, "Cpus_allowed_list:")
		if !ok {
			return ""
		}
		return strings.TrimSpace(list)
	})
	require.NoError(t, err)
	require.Equal(t, "0", cores)
	procs, err := p.Await(ctx, func(line string) string { _, n, _ := strings.Cut(line, "GOMAXPROCS="); return n })
	require.NoError(t, err)
	require.Equal(t, "1", procs)
}

func TestWaitingForAProgramThatEndsOrIsSilentFails(t *testing.T) {
	none := func(string) string { return "" }
	p, err := proc.Start(proc.Command{Path: "/bin/sh", Args: []string{"-c", "echo no such flag; exit 3"}})
	require.NoError(t, err)
	_, err = p.Await(t.Context(), none)
	require.ErrorContains(t, err, "no such flag")
	require.ErrorContains(t, err, "exit status 3")
	p.Stop(time.Second)

	p, err = proc.Start(proc.Command{Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; echo up; while :; do read x || exec sleep 100; done"}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = p.Await(ctx, none)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	p.Stop(10 * time.Millisecond) // it ignores SIGTERM
	require.Error(t, syscall.Kill(p.PID(), 0), fmt.Sprint("process ", p.PID(), " is still there"))
}

func TestTheCPUOfAFamily(t *testing.T) {
	cmd := exec.Command("sh", "-c", `(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo burnt; cat) & cat; wait`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(out, make([]byte, len("burnt")))
	require.NoError(t, err)
	used, err := proc.FamilyCPU(cmd.Process.Pid)
	require.NoError(t, err)
	require.Greater(t, used, 20*time.Millisecond, "what a child does counts")
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	_, err = proc.FamilyCPU(cmd.Process.Pid)
	require.Error(t, err)
}
