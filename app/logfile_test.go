package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// openLog opens a log file and makes every write check the path.
func openLog(t *testing.T, path string) *logFile {
	t.Helper()
	f, err := openLogFile(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func (f *logFile) say(t *testing.T, line string) {
	t.Helper()
	f.checked = time.Time{} // a check is due
	n, err := f.Write([]byte(line))
	require.NoError(t, err)
	require.Len(t, line, n)
}

func text(t *testing.T, path string) string {
	t.Helper()
	p, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(p)
}

func TestALogFileThatIsTakenAwayIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	f := openLog(t, path)
	f.say(t, "one\n")
	require.NoError(t, os.Remove(path))
	f.say(t, "two\n")
	require.Equal(t, "two\n", text(t, path))

	require.NoError(t, os.Rename(path, path+".1"))
	f.say(t, "three\n")
	require.Equal(t, "two\n", text(t, path+".1"))
	require.Equal(t, "three\n", text(t, path))

	// As logrotate's options create and copytruncate do.
	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	f.say(t, "four\n")
	require.Equal(t, "four\n", text(t, path))
	require.NoError(t, os.Truncate(path, 0))
	f.say(t, "five\n")
	require.Equal(t, "five\n", text(t, path))

	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	_, err := f.Write([]byte("there is no folder\n")) // the path was not checked
	require.NoError(t, err)
	f.checked = time.Time{}
	_, err = f.Write([]byte("there is no folder\n"))
	require.Error(t, err)
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
	f.say(t, "six\n")
	require.Equal(t, "six\n", text(t, path))
}

func TestALogFileBeginsOnALineOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	for _, c := range []struct{ before, after string }{
		{"", "x\n"}, {"whole\n", "whole\nx\n"}, {"half", "half\nx\n"},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.before), 0o600))
		f := openLog(t, path)
		f.say(t, "x\n")
		require.NoError(t, f.Close())
		require.Equal(t, c.after, text(t, path))
	}
}

func TestALogFileIsRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.jsonl")
	f := openLog(t, path)
	line := strings.Repeat("x", 1<<20-1) + "\n"
	for i := range 25 {
		f.say(t, fmt.Sprintf("%02d%s", i, line[2:]))
	}
	rotated, err := filepath.Glob(filepath.Join(dir, "log-*.jsonl"))
	require.NoError(t, err)
	require.Len(t, rotated, 2)
	var all strings.Builder
	for _, p := range append(rotated, path) {
		all.WriteString(text(t, p))
	}
	n := 0
	for l := range strings.Lines(all.String()) {
		require.Equal(t, fmt.Sprintf("%02d", n), l[:2])
		n++
	}
	require.Equal(t, 25, n)
	require.Len(t, text(t, rotated[0]), 10<<20)

	// A full file of an earlier process is rotated unchanged.
	require.NoError(t, f.Close())
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat(line, 10)), 0o600))
	f = openLog(t, path)
	f.say(t, "new\n")
	require.Equal(t, "new\n", text(t, path))
}

func TestALogFileHasOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.jsonl")
	f := openLog(t, path)
	_, err := openLogFile(path)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, f.rotate())
	_, err = openLogFile(path)
	require.Error(t, err, "after it was rotated, too")
	require.NoError(t, os.Remove(path))
	f.say(t, "x\n")
	_, err = openLogFile(path)
	require.Error(t, err, "and after it was made anew")
	require.NoError(t, f.Close())
	openLog(t, path)
}

// Devices and pipes are neither rotated nor checked.
func TestALogFileMayBeADevice(t *testing.T) {
	f := openLog(t, os.DevNull)
	f.say(t, strings.Repeat("x", 11<<20))
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular())
	require.NoFileExists(t, os.DevNull+".lock")
}
