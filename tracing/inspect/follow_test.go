package inspect

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/natefinch/lumberjack.v2"
)

// screen is an output that can be looked at while it is written.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// following runs `inspect args…` until stop is called, which returns its status.
func following(t *testing.T, in io.Reader, args ...string) (out, errs *screen, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, errs = &screen{}, &screen{}
	status := make(chan int, 1)
	go func() { status <- callOn(t, ctx, &Streams{In: in, Out: out, Err: errs}, args...) }()
	once := sync.OnceValue(func() int { cancel(); return <-status })
	t.Cleanup(func() { once() })
	return out, errs, once
}

func shows(t *testing.T, s *screen, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.String(), what) }, 20*time.Second, 5*time.Millisecond, "%s", what)
}

// Every line is seen exactly once while lumberjack rotates the log away again and again, also twice between two looks.
func TestFollowOverRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traceroom.jsonl")
	w := &lumberjack.Logger{Filename: path, MaxSize: 1}
	defer w.Close()
	_, err := w.Write(nil)
	require.NoError(t, err)
	exported := filepath.Join(t.TempDir(), "flow.jsonl")
	_, errs, stop := following(t, nil, "--follow", "export", "--flowtrace", "-o", exported, path)

	c := newChat(21)
	k := c.connect("general", "ann")
	write := func(messages int) {
		for range messages {
			c.say(k, "", 0, "")
			for _, l := range bytes.SplitAfter(c.w.Bytes(), []byte("\n")) {
				if len(l) > 0 {
					_, err := w.Write(l)
					require.NoError(t, err)
				}
			}
			c.w.Reset()
		}
	}
	caughtUp := func() bool {
		b, err := os.ReadFile(exported)
		return err == nil && bytes.Count(b, []byte("\n")) == c.lines
	}
	for round := range 4 {
		write(300) // about 1 MB: sometimes a rotation by size within
		if round%2 == 0 {
			require.NoError(t, w.Rotate())
			write(3)
			// lumberjack names files by the millisecond, and would write over one.
			rotated := time.Now().UnixMilli()
			require.Eventually(t, func() bool { return time.Now().UnixMilli() > rotated }, time.Second, time.Millisecond)
			require.NoError(t, w.Rotate())
			write(3)
		}
		require.Eventually(t, caughtUp, 20*time.Second, 10*time.Millisecond)
	}
	require.Zero(t, stop())
	require.Empty(t, errs.String())
	rotated, err := filepath.Glob(filepath.Join(filepath.Dir(path), "traceroom-*.jsonl"))
	require.NoError(t, err)
	require.Greater(t, len(rotated), 4)
	whole, _, _ := call(t, nil, append([]string{"export", "--flowtrace"}, append(rotated, path)...)...)
	got, err := os.ReadFile(exported)
	require.NoError(t, err)
	require.Equal(t, whole, string(got))
}

// A trace is shown soon after it is over, though the log then says nothing more.
func TestFollowShowsATraceWhenItIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "traceroom.jsonl")
	out, errs, stop := following(t, nil, "--follow", path)
	shows(t, errs, "waiting for "+path)

	c := newChat(1)
	k := c.connect("general", "ann")
	require.NoError(t, os.WriteFile(path, c.w.Bytes(), 0o600))
	shows(t, out, "web.connect")

	c.w.Reset()
	c.say(k, "", 0, "disk full")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Write(c.w.Bytes())
	require.NoError(t, err)
	shows(t, out, "disk full")
	require.Zero(t, stop())
	require.NotContains(t, errs.String(), "could not be read")
}

// A line that is written in two halves is one line.
func TestFollowWaitsForTheRestOfALine(t *testing.T) {
	path := logFile(t, []byte("one\ntw"))
	src := newFollow(path, false, func(s string) { t.Error(s) })
	defer src.close()
	in := newLines(src)
	b, _, err := in.next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "one", string(b))
	_, _, err = in.next(t.Context())
	require.Equal(t, errIdle, err)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("o\nthr")
	require.NoError(t, err)
	b, whole, err := in.next(t.Context())
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, "two", string(b))
	require.Equal(t, place{path, 2}, in.at)

	// A rotated file gets no more: what it ends in is a line, and the next file's lines are counted anew.
	require.NoError(t, os.Rename(path, filepath.Join(filepath.Dir(path), "traceroom-2026-01-01T00-00-00.000.jsonl")))
	require.NoError(t, os.WriteFile(path, []byte("four\n"), 0o600))
	next := func() (string, bool) {
		for {
			b, whole, err := in.next(t.Context())
			if err != errIdle {
				require.NoError(t, err)
				return string(b), whole
			}
		}
	}
	s, whole := next()
	require.Equal(t, "thr", s)
	require.False(t, whole)
	s, whole = next()
	require.Equal(t, "four", s)
	require.True(t, whole)
	require.Equal(t, place{path, 1}, in.at)
}

func TestFollowOverTruncation(t *testing.T) {
	c := newChat(1)
	k := c.connect("general", "ann")
	c.say(k, "", 0, "")
	path := logFile(t, c.w.Bytes())
	out, errs, stop := following(t, nil, "--follow", path)
	shows(t, out, "rooms.deliver")
	c.w.Reset()
	c.hangUp(k, 1000)
	require.NoError(t, os.WriteFile(path, c.w.Bytes(), 0o600)) // truncates
	shows(t, out, "web.disconnect")
	require.Contains(t, errs.String(), "was truncated")
	require.Zero(t, stop())
}

func TestFollowFromEnd(t *testing.T) {
	c := newChat(1)
	k := c.connect("general", "ann")
	b := bytes.Clone(c.w.Bytes())
	c.w.Reset()
	c.say(k, "", 0, "")
	next := bytes.Clone(c.w.Bytes())
	path := logFile(t, append(b, next[:80]...)) // its last line is not whole yet
	out, errs, stop := following(t, nil, "--follow", "--from-end", path)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	// It looks at the file's end when it comes to it: feed it until it has seen something.
	_, err = f.Write(next[80:])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		c.w.Reset()
		c.now += 100_000
		c.rest("GET /health", `{}`, `{"status":200}`)
		_, err := f.Write(c.w.Bytes())
		return err == nil && strings.Contains(out.String(), "GET /health")
	}, 20*time.Second, 20*time.Millisecond)
	require.Zero(t, stop())
	require.NotContains(t, out.String(), "web.connect")
	require.Empty(t, errs.String())
}

func TestFollowFromEndWithinALine(t *testing.T) {
	for log, want := range map[string]string{"one\ntw": "two", "one\n": "o", "on": "ono", "": "o"} {
		path := logFile(t, []byte(log))
		src := newFollow(path, true, func(s string) { t.Error(s) })
		in := newLines(src)
		_, _, err := in.next(t.Context())
		require.Equal(t, errIdle, err)
		require.NoError(t, os.WriteFile(path, []byte(log+"o\n"), 0o600))
		b, _, err := in.next(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, string(b))
		require.NoError(t, src.close())
	}
}

// What is piped in is shown while the pipe is open.
func TestPipeIsLive(t *testing.T) {
	r, w := io.Pipe()
	out, _, stop := following(t, r, "-")
	c := newChat(1)
	k := c.connect("general", "ann")
	c.say(k, "", 0, "")
	_, err := w.Write(c.w.Bytes())
	require.NoError(t, err)
	shows(t, out, "rooms.deliver")
	require.NoError(t, w.Close())
	require.Zero(t, stop())
}

// A pipe that nobody writes to does not keep an interrupt waiting.
func TestInterruptedPipe(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	defer r.Close()
	_, _, stop := following(t, r)
	require.Zero(t, stop())
}

func TestTopAndSessionFollow(t *testing.T) {
	c := newChat(1)
	k := c.connect("general", "ann")
	c.say(k, "", 0, "")
	path := logFile(t, c.w.Bytes())
	session, _, stop := following(t, nil, "session", "--follow", k.id, path)
	shows(t, session, "rooms.deliver")
	require.Zero(t, stop())
	require.Contains(t, session.String(), fmt.Sprintf("%d operations in 2 traces", c.spans))

	top, _, stop := following(t, nil, "top", "--follow", path)
	require.Zero(t, stop())
	require.Contains(t, top.String(), "function", "the table is written at the end")
}
