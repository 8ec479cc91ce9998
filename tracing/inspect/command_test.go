package inspect

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGolden(t *testing.T) {
	in := small()
	golden(t, "session.jsonl", string(in))
	for name, c := range map[string]struct {
		args   string
		status int
	}{
		"tree.txt":        {"testdata/session.jsonl", 0},
		"tree-wide.txt":   {"--wide --trace 07c64 testdata/session.jsonl", 0},
		"tree-colour.txt": {"--color=always --errors testdata/session.jsonl", 0},
		"tree.json":       {"--json testdata/session.jsonl", 0},
		"slow.txt":        {"--slow 10ms testdata/session.jsonl", 0},
		"session.txt":     {"session 3f9a2b-1 testdata/session.jsonl", 0},
		"session.json":    {"session 3f9a2b-2 --json testdata/session.jsonl", 0},
		"top.txt":         {"top testdata/session.jsonl", 0},
		"top.json":        {"top --json --room general testdata/session.jsonl", 0},
		"check.txt":       {"check testdata/session.jsonl", 1},
		"check-open.txt":  {"check --allow-open testdata/session.jsonl", 0},
		"check.json":      {"check --json testdata/session.jsonl", 1},
		"flowtrace.jsonl": {"export --flowtrace testdata/session.jsonl", 0},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := call(t, nil, strings.Fields(c.args)...)
			require.Equal(t, c.status, status)
			require.Empty(t, errs)
			golden(t, name, out)
		})
	}
}

// Every line that --json writes is a document of its own.
func TestJSONIsJSON(t *testing.T) {
	path := logFile(t, small())
	for _, args := range [][]string{{}, {"--errors"}, {"top"}, {"session", "3f9a2b-1"}, {"check"}, {"export", "--flowtrace", "-o", filepath.Join(t.TempDir(), "x.jsonl")}} {
		out, _, _ := call(t, nil, append(args, "--json", path)...)
		require.NotEmpty(t, out, args)
		for l := range strings.Lines(out) {
			require.True(t, json.Valid([]byte(l)), "%v: %s", args, l)
		}
	}
	out, _, _ := call(t, nil, "--json", "--trace", "07c64", path)
	var got struct {
		Failed int
		Spans  []struct {
			Status, Function, Room, Client, Connection string
			Depth                                      int
			Args                                       struct{ RoomID string } `json:"args"`
			Exception                                  struct{ Type, Message string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, 2, got.Failed)
	require.Equal(t, "append", got.Spans[1].Function)
	require.Equal(t, 1, got.Spans[1].Depth)
	require.Equal(t, `database "chat" is locked`, got.Spans[1].Exception.Message)
	require.Equal(t, "ann", got.Spans[1].Client)
}

func TestFiltersCombine(t *testing.T) {
	path := logFile(t, small())
	marked := func(args ...string) (functions []string) {
		out, _, status := call(t, nil, append(args, path)...)
		require.Zero(t, status)
		for l := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(l, ">"); ok {
				for _, f := range strings.Fields(rest) {
					if strings.Contains(f, ".") && f[0] > '9' {
						functions = append(functions, f)
						break
					}
				}
			}
		}
		return functions
	}
	require.Equal(t, []string{"rooms.receive", "store.append"}, marked("--slow", "10ms"))
	require.Equal(t, []string{"store.append"}, marked("--slow", "10ms", "--function", "append"))
	require.Equal(t, []string{"store.append"}, marked("--slow", "10ms", "--function", "store", "--connection", "3f9a2b-2"))
	require.Empty(t, marked("--slow", "10ms", "--connection", "3f9a2b-1"))
	require.Equal(t, []string{"rooms.receive", "store.append"}, marked("--errors", "--room", "general"))
	require.Empty(t, marked("--errors", "--room", "random"))
	require.Equal(t, []string{"store.append"}, marked("--errors", "--trace", "07C6", "--function", "store.append"))
	require.Len(t, marked("--function", "receive"), 4)

	out, _, _ := call(t, nil, "top", "--room", "general", "--connection", "3f9a2b-2", "--json", path)
	require.Contains(t, out, `"function":"receive","count":1,`)
	require.NotContains(t, out, "GET /rooms")
	out, _, _ = call(t, nil, "--function", "broadcast", "session", "3f9a2b-2", path)
	require.Contains(t, out, "1 operation in 1 trace")

}

func TestRefusals(t *testing.T) {
	path := logFile(t, small())
	for _, c := range []struct{ args, says string }{
		{"--trace xyz " + path, "--trace"},
		{"--slow -1s " + path, "--slow"},
		{"--from-end " + path, "--follow"},
		{"--follow " + path + " " + path, "one FILE"},
		{"- " + path, "no other FILE"},
		{"session --connection x y " + path, "--connection: not for inspect session"},
		{"check --room x " + path, "--room: not for inspect check"},
		{"check --follow " + path, "--follow: not for inspect check"},
		{"export " + path, "--flowtrace"},
		{"export --flowtrace -o out.txt " + path, ".jsonl"},
		{"export --flowtrace --max-lines 5 " + path, "--output"},
		{"export --flowtrace -o " + path + " " + path, "the log itself"},
		{"top --sort speed " + path, "--sort"},
		{"/nowhere/traceroom.jsonl", "no such file"},
		{t.TempDir(), "a folder"},
	} {
		_, errs, status := call(t, nil, strings.Fields(c.args)...)
		require.Equal(t, StatusFailed, status, c.args)
		require.Contains(t, errs, c.says, c.args)
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, small(), b, "the log is as it was")
}

func TestWhereTheLogComesFrom(t *testing.T) {
	in := small()
	path := logFile(t, in)
	want, _, _ := call(t, nil, path)

	out, _, _ := call(t, bytes.NewReader(in), "-")
	require.Equal(t, want, out, "-")
	out, _, _ = call(t, bytes.NewReader(in))
	require.Equal(t, want, out, "what is piped in, without a FILE")

	half := bytes.IndexByte(in[len(in)/2:], '\n') + len(in)/2 + 1
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(in[:half])
	require.NoError(t, w.Close())
	first := filepath.Join(t.TempDir(), "traceroom-2021-10-31.jsonl.gz")
	require.NoError(t, os.WriteFile(first, z.Bytes(), 0o600))
	out, errs, _ := call(t, nil, first, logFile(t, in[half:]))
	require.Equal(t, want, out, "a rotated log, gzipped, and what follows it")
	require.Empty(t, errs)

	var o, e bytes.Buffer
	s := &Streams{Out: &o, Err: &e, Getenv: func(k string) string { return map[string]string{"TRACE_LOG": path}[k] }}
	require.Zero(t, callOn(t, t.Context(), s))
	require.Equal(t, want, o.String(), "TRACE_LOG")
	t.Chdir(filepath.Dir(path))
	out, _, _ = call(t, nil)
	require.Equal(t, want, out, "traceroom.jsonl here")
}

func TestDamagedLog(t *testing.T) {
	in := small()
	lines := bytes.SplitAfter(in, []byte("\n"))
	all, _, _ := call(t, nil, logFile(t, in))

	t.Run("truncated", func(t *testing.T) {
		out, errs, status := call(t, nil, logFile(t, in[:len(in)-40]))
		require.Zero(t, status, "a log that is being written is no bad log")
		require.Contains(t, errs, "ends in the middle of line 47")
		require.Contains(t, out, "2 OPEN")
	})
	t.Run("corrupted", func(t *testing.T) {
		broken := bytes.Clone(in)
		at := len(bytes.Join(lines[:20], nil))
		copy(broken[at+5:at+15], make([]byte, 10)) // zeros, as a crash leaves them
		path := logFile(t, broken)
		out, errs, status := call(t, nil, path)
		require.Equal(t, StatusFindings, status)
		require.Contains(t, errs, path+":21: ")
		require.Contains(t, errs, "1 line could not be read")
		require.Contains(t, out, "FAILED", "and goes on")
		_, _, status = call(t, nil, "check", path)
		require.Equal(t, StatusFindings, status)
	})
	t.Run("a killed writer, and one that began again on the same line", func(t *testing.T) {
		glued := slicesJoin(lines[:10], lines[10][:30], lines[10:])
		out, errs, status := call(t, nil, logFile(t, glued))
		require.Equal(t, StatusFindings, status)
		require.Contains(t, errs, ":11: half a line before a whole one")
		require.Equal(t, all, out, "nothing is lost")
	})
	t.Run("no newline at the end, carriage returns, empty lines", func(t *testing.T) {
		odd := bytes.ReplaceAll(bytes.TrimSpace(in), []byte("\n"), []byte("\r\n\n"))
		out, errs, status := call(t, nil, logFile(t, odd))
		require.Zero(t, status)
		require.Empty(t, errs)
		require.Equal(t, all, out)
	})
	t.Run("a line without an end", func(t *testing.T) {
		long := slicesJoin(lines[:10], bytes.Repeat([]byte("x"), 5<<20), []byte("\n"), lines[10:])
		out, errs, status := call(t, nil, logFile(t, long))
		require.Equal(t, StatusFindings, status)
		require.Contains(t, errs, ":11: longer than 1 MiB")
		require.Equal(t, all, out)
	})
	t.Run("not a log at all", func(t *testing.T) {
		out, errs, status := call(t, nil, logFile(t, bytes.Repeat([]byte("2021/11/01 listening\n"), 1000)))
		require.Equal(t, StatusFindings, status)
		require.Empty(t, out)
		require.Less(t, strings.Count(errs, "\n"), 30, "the many are counted, not named")
		require.Contains(t, errs, "1,000 lines could not be read")
	})
	t.Run("empty", func(t *testing.T) {
		for _, command := range []string{"tree", "top", "check"} {
			_, errs, status := call(t, nil, command, logFile(t, nil))
			require.Zero(t, status)
			require.Empty(t, errs)
		}
	})
}

// slicesJoin joins pieces and lists of pieces.
func slicesJoin(parts ...any) (all []byte) {
	for _, p := range parts {
		switch p := p.(type) {
		case []byte:
			all = append(all, p...)
		case [][]byte:
			all = append(all, bytes.Join(p, nil)...)
		}
	}
	return all
}

// What a log holds must not steer the terminal it is shown on.
func TestNoEscapeReachesTheTerminal(t *testing.T) {
	evil := "\x1b]0;owned\x07\u202etxt.exe\u009b31m"
	c := newChat(3)
	k := c.connect(`general`, `\u001b]0;owned\u0007\u202e\u009b31m`) // as JSON has it, so that it is decoded
	c.say(k, "", 0, "")
	c.say(k, "", 0, `\u001b[2Jgone`)
	c.rest("GET /"+evil, `{"x":"`+evil+`"}`, evil)
	b := bytes.ReplaceAll(c.w.Bytes(), []byte("\x1b"), []byte(`\u001b`))
	b = bytes.ReplaceAll(b, []byte("\x07"), []byte(`\u0007`))
	path := logFile(t, b)
	for _, args := range [][]string{{"--wide"}, {"top"}, {"check"}, {"session", "3f9a2b-1"}} {
		out, errs, _ := call(t, nil, append(args, path)...)
		require.Empty(t, errs)
		require.NotContains(t, out, "\x1b", args)
		require.NotContains(t, out+errs, "\x07", args)
		require.NotContains(t, out+errs, "\u202e", args)
		require.NotContains(t, out+errs, "\u009b", args)
	}
}

func TestSessionOfNobody(t *testing.T) {
	out, errs, status := call(t, nil, "session", "3f9a2b-99", logFile(t, small()))
	require.Equal(t, StatusFindings, status)
	require.Empty(t, out)
	require.Contains(t, errs, "nothing of connection 3f9a2b-99")
}

// A clock that was set back while the log was written takes nobody's time away.
func TestNoTimeIsBelowZeroWhenTheClockWasSetBack(t *testing.T) {
	pair := func(n, at, end int) string {
		ids := fmt.Sprintf(`"trace_id":"%032x","span_id":"%016x"`, n, n)
		return fmt.Sprintf(`{"timestamp":%d,"event":"ENTER","thread":"conn-1","module":"rooms","function":"receive","args":"{\"connection_id\":\"ab-1\"}",%s}`+"\n"+
			`{"timestamp":%d,"event":"EXIT","thread":"conn-1","module":"rooms","function":"receive","result":"{}",%s}`+"\n", at, ids, end, ids)
	}
	const hour = 3_600_000
	log := logFile(t, []byte(pair(1, 10*hour, 10*hour+5)+pair(2, 9*hour, 9*hour+5)+pair(3, 9*hour+10, 8*hour)))
	for _, args := range [][]string{{}, {"session", "ab-1"}, {"top"}, {"--json"}, {"top", "--json"}, {"session", "ab-1", "--json"}} {
		out, errs, status := call(t, nil, append(args, log)...)
		require.Zero(t, status, errs)
		require.NotRegexp(t, `[\s+:]-[0-9]`, out, args)
	}
}
