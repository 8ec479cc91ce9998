//go:build linux

package proc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is a program to run.
type Command struct {
	Path string
	Args []string
	Env  []string // added to this process's own
	Dir  string
	Core int // the only core that it may run on
}

// Process is a running program. Its methods may be called from any goroutine.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all its output was read

	mu    sync.Mutex
	seen  *sync.Cond // signals a new line and the end of the program
	lines []string   // the last keep lines of its output
	said  int        // how many lines it has written
	ended bool
}

// keep is how many lines of a program's output are kept.
const keep = 200

// Start runs c. The caller must call Stop.
func Start(c Command) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	p.seen = sync.NewCond(&p.mu)
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	p.cmd.Env = append(p.cmd.Env, c.Env...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(c.Core, p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.listen(stdout) })
	readers.Go(func() { p.listen(stderr) })
	go func() {
		readers.Wait()
		_ = p.cmd.Wait() // the process's state says how it ended
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.seen.Broadcast()
		close(p.done)
	}()
	return p, nil
}

// startOn starts cmd on one core only: a child inherits the affinity of the thread that forks it.
func startOn(core int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var was unix.CPUSet
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		return err
	}
	var only unix.CPUSet
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("core %d: %w", core, err)
	}
	err := cmd.Start()
	if undo := unix.SchedSetaffinity(0, &was); err == nil {
		err = undo
	}
	return err
}

func (p *Process) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		if len(p.lines) == keep {
			p.lines = append(p.lines[:0], p.lines[1:]...)
		}
		p.lines = append(p.lines, lines.Text())
		p.said++
		p.mu.Unlock()
		p.seen.Broadcast()
	}
	_, _ = io.Copy(io.Discard, r) // so that a line that is too long does not block the program
}

// PID returns the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Await calls match with every line of standard output and standard error, including earlier ones, and returns its first
// non-empty result.
func (p *Process) Await(ctx context.Context, match func(line string) string) (string, error) {
	defer context.AfterFunc(ctx, func() { p.mu.Lock(); p.mu.Unlock(); p.seen.Broadcast() })() //nolint:staticcheck // the lock orders the wake-up after the check
	p.mu.Lock()
	defer p.mu.Unlock()
	for next := 0; ; {
		for next = max(next, p.said-len(p.lines)); next < p.said; next++ {
			if found := match(p.lines[next-(p.said-len(p.lines))]); found != "" {
				return found, nil
			}
		}
		switch {
		case p.ended:
			return "", fmt.Errorf("it ended (%s) with the output:\n%s", p.cmd.ProcessState, strings.Join(p.lines, "\n"))
		case ctx.Err() != nil:
			return "", fmt.Errorf("%w; its output:\n%s", ctx.Err(), strings.Join(p.lines, "\n"))
		}
		p.seen.Wait()
	}
}

// Output returns the last lines of the program's output.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Ended returns a channel that is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// Stop sends SIGTERM to the program, kills it after grace, and waits for its end. It may be called more than once.
func (p *Process) Stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
