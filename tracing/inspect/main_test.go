package inspect

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	// lumberjack's housekeeping has no end of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// call runs `inspect args…` as the program does, and returns what it wrote and its exit status.
func call(t *testing.T, in io.Reader, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	status = callOn(t, context.Background(), &Streams{In: in, Out: &o, Err: &e}, args...)
	return o.String(), e.String(), status
}

func callOn(t *testing.T, ctx context.Context, s *Streams, args ...string) int {
	t.Helper()
	if s.Getenv == nil {
		s.Getenv = func(string) string { return "" }
	}
	s.Location = time.UTC
	var cli struct {
		Inspect Command `cmd:""`
	}
	p, err := kong.New(&cli, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s), kong.Exit(func(int) {}), kong.Writers(s.Out, s.Err))
	require.NoError(t, err)
	k, err := p.Parse(append([]string{"inspect"}, args...))
	if err != nil {
		_, _ = io.WriteString(s.Err, err.Error())
		return StatusFailed
	}
	err = k.Run()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%v is not an *Error", err)
		return -1
	}
	if e.Status == StatusFailed {
		_, _ = io.WriteString(s.Err, e.Error()+"\n")
	}
	return e.ExitCode()
}

// logFile writes a log into a folder of the test's own.
func logFile(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "traceroom.jsonl")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "testdata/%s; run with -update if the new output is better", name)
}

// benchCall runs `inspect args…` on a log and throws away what it says.
func benchCall(b *testing.B, in io.Reader, args []string) {
	var cli struct {
		Inspect Command `cmd:""`
	}
	s := &Streams{In: in, Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}
	p, err := kong.New(&cli, kong.BindTo(context.Background(), (*context.Context)(nil)), kong.Bind(s))
	require.NoError(b, err)
	k, err := p.Parse(append([]string{"inspect"}, args...))
	require.NoError(b, err)
	var found *Error
	if err := k.Run(); err != nil && (!errors.As(err, &found) || found.Status != StatusFindings) {
		b.Fatal(err)
	}
}
