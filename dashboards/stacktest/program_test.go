package stacktest

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tool is the path of a program that `make stack-tools` built.
func tool(t *testing.T, name string) string {
	path, err := filepath.Abs(filepath.Join(root, ".bin", name))
	require.NoError(t, err)
	require.FileExists(t, path, "make stack-tools builds it")
	return path
}

// program is a program that runs for the length of a test.
type program struct {
	name string
	cmd  *exec.Cmd
	out  string
	done chan struct{}
	err  error // how it ended; read it after done is closed
}

// start starts a program. It is stopped at the end of the test; its output is shown if the test failed.
func start(t *testing.T, name string, cmd *exec.Cmd) *program {
	p := &program{name: name, cmd: cmd, out: filepath.Join(t.TempDir(), name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.out)
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start(), name)
	go func() {
		p.err = cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.stop(15 * time.Second)
		if t.Failed() {
			t.Logf("%s said, at the end:\n%s", name, p.tail())
		}
	})
	return p
}

// stop sends SIGTERM to the program, as Docker does, kills it after the grace period, and returns how it ended.
func (p *program) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.New(p.name + " did not end by itself")
	}
}

func (p *program) said() string {
	text, _ := os.ReadFile(p.out)
	return string(text)
}

// tail returns the last of the program's output, without the trace log.
func (p *program) tail() string {
	var lines []string
	for line := range strings.Lines(p.said()) {
		if !strings.Contains(line, `"event":"E`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-40):], "")
}

// memory is the resident memory of the program, in bytes.
func (p *program) memory(t *testing.T) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "statm"))
	require.NoError(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	require.NoError(t, err)
	return pages * int64(os.Getpagesize())
}

// healthy runs the container's health check here. wget is replaced by an HTTP request.
func healthy(ctx context.Context, c *container, programs map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if c.health[0] == "wget" {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.health[len(c.health)-1], nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
	cmd := exec.CommandContext(ctx, programs[c.health[0]], c.health[1:]...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(err.Error() + ": " + string(out))
	}
	return nil
}

// eventually calls check until it returns no error. The last error fails the test.
func eventually(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			require.NoError(t, err, "%s, within %s", what, within)
		}
		<-tick.C
	}
}
