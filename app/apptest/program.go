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

// Options say how a program is started. The zero value is a server on a free port of the loopback interface with an empty
// SQLite file, a trace log in a file, and no limit on how fast clients may send.
type Options struct {
	Dir  string   // of the database and the trace log; a temporary directory if empty
	Args []string // flags; they win over Env and the defaults above
	Env  []string // further environment variables, NAME=value
	// Stdout, if not nil, is the program's standard output; Program.Stdout then returns nothing.
	Stdout *os.File
}

// Program is a running program. Its methods must be called from the test's goroutine unless they say otherwise.
type Program struct {
	Dir  string
	Addr string // HOST:PORT
	URL  string // of its HTTP server, without a trailing slash

	opts   Options
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended and all its output was read
	err    error         // of waiting for the process; may be read after exited is closed

	mu     sync.Mutex // guards the fields below, which the goroutines that read the output write
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// Start starts the program and waits until it is ready. At the end of the test it is stopped if it still runs, and must end
// without an error.
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
			t.Logf("standard error of the program:\n%s", tail(p.Stderr(), 8000))
		}
	})
	return p
}

// shared is the program that Shared returns.
var shared struct {
	once    sync.Once
	program *Program
}

// Shared returns a program with the default options that all tests of the package may use. Each test must use rooms of its
// own, and must expect nothing of the metrics and the trace log.
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

// end sends SIGTERM to the program and waits until it has ended.
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

// Restart starts an ended program again, with the same database, trace log and port.
func (p *Program) Restart(t testing.TB) {
	t.Helper()
	require.False(t, p.Running(), "the program still runs")
	p.start(t, p.Addr)
}

// command returns the command that runs the program with opts.
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

// collect reads r to its end into buf and calls each with every line.
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

// Running reports whether the process runs. It may be called from any goroutine.
func (p *Program) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Stop sends SIGTERM to the program, which must then end with status 0, and returns how long that took.
func (p *Program) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	p.Signal(t, syscall.SIGTERM)
	code := p.Wait(t)
	require.Zerof(t, code, "exit status\n%s", tail(p.Stderr(), 8000))
	return time.Since(began)
}

// Kill kills the process (SIGKILL) and waits for its end.
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

// Wait waits until the process has ended and returns its exit status, -1 if a signal ended it. It fails the test if the race
// detector has reported a race.
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

// Stdout returns the standard output so far, including that of earlier runs. It may be called from any goroutine.
func (p *Program) Stdout() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stdout.String()
}

// Stderr returns the standard error so far, including that of earlier runs. It may be called from any goroutine.
func (p *Program) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// Outcome is the result of Run.
type Outcome struct {
	Code           int
	Stdout, Stderr string
}

// Run runs the program, which must end by itself within Patience.
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

// Response is an HTTP response with its whole body.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

// JSON decodes the body into v.
func (r *Response) JSON(t testing.TB, v any) {
	t.Helper()
	require.NoErrorf(t, json.Unmarshal([]byte(r.Body), v), "%s", r.Body)
}

// httpClient keeps no connection open, so that tests leak none.
var httpClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Do sends a request and reads the whole response. headers are alternately names and values. It may be called from any goroutine.
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

// Do sends a request to the program; an error fails the test.
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

// PostJSON is Do with POST and v as JSON in the body.
func (p *Program) PostJSON(t testing.TB, path string, v any) *Response {
	t.Helper()
	body, err := json.Marshal(v)
	require.NoError(t, err)
	return p.Do(t, http.MethodPost, path, body, "Content-Type", "application/json")
}

// Eventually calls cond every 5 ms until it returns true, for at most Patience. what describes it in the failure message.
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
