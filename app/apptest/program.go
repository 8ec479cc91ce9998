package apptest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Options are how a program is started. The zero value is a server on a free port of the loopback interface with an empty
// SQLite file, a trace log in a file, and no limit to how fast clients may send.
type Options struct {
	Dir  string   // where database and trace log are; a folder of the test's own if empty
	Args []string // flags, behind which those above give way
	Env  []string // NAME=value, besides the few variables that every program needs
	// Stdout is the program's standard output, instead of what Program.Stdout returns.
	Stdout *os.File
}

// Program is a running program. Its methods are for the goroutine of the test, unless they say otherwise.
type Program struct {
	Dir  string
	Addr string // HOST:PORT
	URL  string // of its HTTP server, without a slash at the end

	opts   Options
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and its output was read
	err    error         // of waiting for the process; to be read after exited

	mu     sync.Mutex // guards what follows; written by the goroutines that read the output
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// Start starts the program and waits until it is ready. It is stopped at the end of the test, if it still runs, and must
// then end without an error.
func Start(t testing.TB, opts Options) *Program {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	p := &Program{Dir: opts.Dir, opts: opts}
	p.start(t, "127.0.0.1:0")
	t.Cleanup(func() {
		if p.Running() {
			p.Stop(t)
		}
		if t.Failed() {
			t.Logf("what the program said:\n%s", tail(p.Stderr(), 8000))
		}
	})
	return p
}

// shared is the program of the tests that do without one of their own.
var shared struct {
	once    sync.Once
	program *Program
}

// Shared returns a program that runs with the default options for as long as the tests of the package do. Tests that use
// it keep to rooms of their own and expect nothing of the metrics and the trace log.
func Shared(t testing.TB) *Program {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "traceroom-shared-")
		require.NoError(t, err)
		p := &Program{Dir: dir, opts: Options{Dir: dir}}
		p.start(t, "127.0.0.1:0")
		shared.program = p
	})
	if shared.program == nil || !shared.program.Running() {
		t.Fatal("the shared program does not run")
	}
	return shared.program
}

// end asks the program to end and waits until it has.
func (p *Program) end() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return errors.New("does not end")
	}
	if strings.Contains(p.Stderr(), "DATA RACE") {
		return errors.New("has data races")
	}
	return p.err
}

// Restart starts a program that has ended again, with the same database, trace log and port.
func (p *Program) Restart(t testing.TB) {
	t.Helper()
	require.False(t, p.Running(), "the program still runs")
	p.start(t, p.Addr)
}

// command is the program with its arguments and environment.
func command(t testing.TB, opts Options, addr string) *exec.Cmd {
	cmd := exec.Command(Binary(t), opts.Args...)
	cmd.Dir = opts.Dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + opts.Dir, "TMPDIR=" + os.TempDir(),
		"ADDR=" + addr,
		"DATABASE_URL=sqlite://" + filepath.Join(opts.Dir, "traceroom.db"),
		"TRACE_LOG=" + filepath.Join(opts.Dir, "traceroom.jsonl"),
		"TRACE_STDOUT=false",
		"SEND_RATE=0",
	}, opts.Env...)
	return cmd
}

func (p *Program) start(t testing.TB, addr string) {
	t.Helper()
	p.cmd = command(t, p.opts, addr)
	p.exited = make(chan struct{})
	var readers sync.WaitGroup
	var stdout io.Reader
	var err error
	if p.opts.Stdout != nil {
		p.cmd.Stdout = p.opts.Stdout
	} else {
		stdout, err = p.cmd.StdoutPipe()
		require.NoError(t, err)
	}
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	listening := make(chan string, 1)
	if stdout != nil {
		readers.Go(func() { p.collect(stdout, &p.stdout, func([]byte) {}) })
	}
	readers.Go(func() {
		p.collect(stderr, &p.stderr, func(line []byte) {
			var said struct{ Msg, Addr string }
			if json.Unmarshal(line, &said) == nil && said.Msg == "listening" {
				listening <- said.Addr
			}
		})
	})
	go func() {
		readers.Wait()
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	select {
	case p.Addr = <-listening:
	case <-p.exited:
		t.Fatalf("the program has ended: %v\n%s", p.err, p.Stderr())
	case <-time.After(Patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		t.Fatalf("the program does not start\n%s", p.Stderr())
	}
	p.URL = "http://" + p.Addr
	Eventually(t, "the program is ready", func() bool {
		res, err := Do(http.MethodGet, p.URL+"/readyz", nil)
		return err == nil && res.Status == http.StatusOK
	})
}

// collect reads r to its end into buf, line by line.
func (p *Program) collect(r io.Reader, buf *bytes.Buffer, each func(line []byte)) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		buf.Write(line)
		p.mu.Unlock()
		each(line)
		if err != nil {
			return
		}
	}
}

// Running reports whether the process runs.
func (p *Program) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Stop asks the program to end, as operators do, and returns how long it took. It must end by itself and without an error.
func (p *Program) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	p.Signal(t, syscall.SIGTERM)
	code := p.Wait(t)
	require.Zerof(t, code, "exit status\n%s", tail(p.Stderr(), 8000))
	return time.Since(began)
}

// Kill ends the process without giving it a say.
func (p *Program) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Kill())
	p.Wait(t)
}

// Signal sends the process a signal.
func (p *Program) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
}

// Wait waits for the process to end and returns its exit status, -1 if a signal ended it. A race that the detector found
// fails the test.
func (p *Program) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.exited
		t.Fatalf("the program does not end\n%s", tail(p.Stderr(), 30000))
	}
	require.NotContains(t, p.Stderr(), "DATA RACE")
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stdout returns what the program, with all its restarts, has written to standard output. Any goroutine may call it.
func (p *Program) Stdout() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// Stderr returns what the program, with all its restarts, has written to standard error. Any goroutine may call it.
func (p *Program) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// Outcome is what became of a program that was to end by itself.
type Outcome struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the program until it ends by itself.
func Run(t testing.TB, opts Options) Outcome {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	cmd := command(t, opts, "127.0.0.1:0")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	require.True(t, timer.Stop(), "the program does not end\n%s", stderr.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Response is an HTTP response, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// JSON decodes the body.
func (r *Response) JSON(t testing.TB, v any) {
	t.Helper()
	require.NoErrorf(t, json.Unmarshal([]byte(r.Body), v), "%s", r.Body)
}

// httpClient keeps no connection open, so that a test leaves nothing behind.
var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Do sends a request and reads the answer. Headers are NAME, value, NAME, value and so on. Any goroutine may call it.
func Do(method, url string, body []byte, headers ...string) (*Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	return &Response{res.StatusCode, res.Header, string(answer)}, err
}

// Do sends a request to the program.
func (p *Program) Do(t testing.TB, method, path string, body []byte, headers ...string) *Response {
	t.Helper()
	res, err := Do(method, p.URL+path, body, headers...)
	require.NoError(t, err)
	return res
}

// Get is Do with GET.
func (p *Program) Get(t testing.TB, path string, headers ...string) *Response {
	t.Helper()
	return p.Do(t, http.MethodGet, path, nil, headers...)
}

// PostJSON is Do with POST and a body of JSON.
func (p *Program) PostJSON(t testing.TB, path string, v any) *Response {
	t.Helper()
	body, err := json.Marshal(v)
	require.NoError(t, err)
	return p.Do(t, http.MethodPost, path, body, "Content-Type", "application/json")
}

// Eventually waits until cond, which is called again and again, is true; what says what was waited for.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, Patience, 5*time.Millisecond, "waiting in vain until %s", what)
}

func tail(s string, n int) string {
	if len(s) > n {
		s = fmt.Sprintf("… %d bytes …\n%s", len(s)-n, strings.ToValidUTF8(s[len(s)-n:], ""))
	}
	return s
}
