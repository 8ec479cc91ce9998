package inspect

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// analysis is what the FlowTrace dashboard's analyzer and the FlowTrace server make of a log, by their rules before 2.0
// (github.com/Rixmerz/flowtrace-debugger at 43454f5, flowtrace-dashboard/analyzer and mcp-server/src; the tools are not
// published to a registry, so that they cannot be run here):
// only EXIT lines make statistics, by class.method; a duration is durationMicros and nothing else; an error is an exception
// on the EXIT line, and one that a search for errors finds by the text of its result; a timestamp is milliseconds.
type analysis struct {
	enters, exits, exceptions int
	calls, errors             map[string]int
	micros                    map[string]int64
	found                     int // by log.errors
	first, last               time.Time
}

// looksFailed is what the FlowTrace server's log.errors searches results for.
var looksFailed = regexp.MustCompile(`(?i)error|exception|fail|500|NOK`)

func analyze(t *testing.T, log string) analysis {
	t.Helper()
	a := analysis{calls: map[string]int{}, errors: map[string]int{}, micros: map[string]int64{}}
	for l := range strings.Lines(log) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(l), &m), l)
		at := time.UnixMilli(int64(m["timestamp"].(float64)))
		if a.first.IsZero() {
			a.first = at
		}
		a.last = at
		for _, key := range []string{"class", "method", "thread", "traceId", "spanId"} {
			require.NotEmpty(t, m[key], "%s: %s", key, l)
		}
		switch m["event"] {
		case "ENTER":
			a.enters++
			require.IsType(t, "", m["args"], "args are a text")
		case "EXIT":
			a.exits++
			key := fmt.Sprintf("%v.%v", m["class"], m["method"])
			a.calls[key]++
			micros := m["durationMicros"].(float64)
			a.micros[key] += int64(micros)
			require.Equal(t, float64(int64(micros)/1000), m["durationMillis"])
			if e, ok := m["exception"].(map[string]any); ok {
				a.errors[key]++
				require.NotEmpty(t, e["type"])
				require.NotEmpty(t, e["message"])
			}
			if looksFailed.MatchString(m["result"].(string)) {
				a.found++
			}
		default:
			a.exceptions++
		}
	}
	return a
}

func TestFlowtraceReadsTheExport(t *testing.T) {
	c := newChat(5)
	k := c.connect("general", "ann")
	c.say(k, "", 0, "")
	c.say(k, "", 30, "no space left") // a text that no search for errors would find
	c.hangUp(k, 1000)
	out, errs, status := call(t, nil, "export", "--flowtrace", logFile(t, c.w.Bytes()))
	require.Zero(t, status)
	require.Empty(t, errs)
	a := analyze(t, out)
	require.Equal(t, a.enters, a.exits, "one EXIT a call")
	require.Equal(t, c.spans, a.exits)
	require.Zero(t, a.exceptions)
	require.Equal(t, 2, a.calls["rooms.receive"])
	require.Equal(t, map[string]int{"rooms.receive": 1, "store.append": 1}, a.errors)
	require.Equal(t, 2, a.found)
	require.Greater(t, a.micros["store.append"], int64(30_000))
	require.Equal(t, 2021, a.first.Year())
	require.Less(t, a.last.Sub(a.first), time.Minute)
}

// The result of a failed call begins with "error: ", whatever the log has there, and says what went wrong.
func TestFlowtraceResultsSayWhatFailed(t *testing.T) {
	failed := func(result, exception string) string {
		line := `{"timestamp":5,"event":"EXIT","thread":"http","module":"m","function":"f",` + result + exception +
			`"durationMicros":1,"durationMillis":0,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}` + "\n"
		out, errs, status := call(t, nil, "export", "--flowtrace", logFile(t, []byte(line)))
		require.Zero(t, status)
		require.Empty(t, errs)
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &m))
		require.Equal(t, exception != "", m["exception"] != nil)
		return m["result"].(string)
	}
	const exception = `"exception":{"type":"unavailable","message":"the \"disk\" is full"},`
	require.Equal(t, `error: unavailable: the "disk" is full`, failed(`"result":"error: unavailable: the \"disk\" is full",`, exception), "as our log has it")
	require.Equal(t, `error: the "disk" is full`, failed(``, exception))
	require.Equal(t, `error: the "disk" is full`, failed(`"result":"",`, exception))
	require.Equal(t, `error: {"status":500}`, failed(`"result":"{\"status\":500}",`, exception))
	require.Equal(t, `error: a failed exception`, failed(`"result":"a failed exception",`, exception))
	require.Equal(t, `{"status":500}`, failed(`"result":"{\"status\":500}",`, ""), "of a call that did not fail it is as it stands")
}

func TestExportOfWhatIsAskedFor(t *testing.T) {
	path := logFile(t, small())
	all, _, _ := call(t, nil, "export", "--flowtrace", path)
	out, _, status := call(t, nil, "export", "--flowtrace", "--errors", path)
	require.Zero(t, status)
	require.Equal(t, 4, strings.Count(out, "\n"))
	for l := range strings.Lines(out) {
		require.Contains(t, all, l, "as it stands in the whole")
	}
}

func TestExportInParts(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "flow.jsonl")
	_, errs, status := call(t, nil, "export", "--flowtrace", "--max-lines", "100", "-o", out, logFile(t, sound()))
	require.Zero(t, status)
	require.Empty(t, errs)
	whole, _, _ := call(t, nil, "export", "--flowtrace", logFile(t, sound()))
	var joined strings.Builder
	for i := range 5 {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("flow-%04d.jsonl", i+1)))
		require.NoError(t, err)
		require.LessOrEqual(t, strings.Count(string(b), "\n"), 100)
		joined.Write(b)
	}
	require.Equal(t, whole, joined.String())
	require.NoFileExists(t, out)
	require.NoFileExists(t, filepath.Join(dir, "flow-0006.jsonl"))
}

func TestExportWarnsOfWhatTheAnalyzerCannotTake(t *testing.T) {
	var log strings.Builder
	for i := range maxPerMethod + 1 {
		fmt.Fprintf(&log, `{"timestamp":5,"event":"EXIT","module":"m","function":"f","durationMicros":1,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"%016x"}`+"\n", i+1)
	}
	path, out := logFile(t, []byte(log.String())), filepath.Join(t.TempDir(), "flow.jsonl")
	_, errs, status := call(t, nil, "export", "--flowtrace", "-o", out, path)
	require.Zero(t, status)
	require.Contains(t, errs, "more than 100,000 EXITs of m.f")
	_, errs, _ = call(t, nil, "export", "--flowtrace", "-o", out, "--max-lines", "100000", path)
	require.Empty(t, errs)
}

// The rules of FlowTrace since 2.0: the schema (schema/flowtrace-v2.json at 20dcf81 of github.com/Rixmerz/flowtrace-debugger,
// with the lang "go" that docs/changes/2026-08-27-go-capture-layer.md adds), which allows no other members, and what the
// dashboard's parser and the server's trace_tree make of a line.
func TestFlowtrace2ReadsTheExport(t *testing.T) {
	c := newChat(5)
	k := c.connect("general", "ann")
	c.say(k, "", 0, "")
	c.say(k, "00f067aa0ba902b7", 30, "no space left")
	c.hangUp(k, 1000)
	c.enter("http", "http", "GET /rooms", `{"cut":"x...(truncated)`, c.trace(), "00000000000000aa", "", nil)
	out, errs, status := call(t, nil, "export", "--flowtrace", "--schema", "2", logFile(t, c.w.Bytes()))
	require.Zero(t, status)
	require.Empty(t, errs)

	hex := func(digits int) *regexp.Regexp { return regexp.MustCompile(fmt.Sprintf("^[0-9a-f]{%d}$", digits)) }
	always := []string{"ts", "trace_id", "span_id", "parent_id", "event", "thread", "lang", "module", "class", "method", "visibility", "args", "depth"}
	type call struct{ parent, name string }
	begun, errors := map[string]call{}, map[string]string{}
	lines, ended := 0, 0
	var nanos float64
	for l := range strings.Lines(out) {
		lines++
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(l), &m), l)
		want := always
		if m["event"] == "exit" {
			want = append(want[:len(want):len(want)], "result", "duration_ns")
			if m["error"] != nil {
				want = append(want, "error")
			}
		} else {
			require.Equal(t, "enter", m["event"])
		}
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(m)), l)
		require.Regexp(t, hex(32), m["trace_id"])
		require.Regexp(t, hex(16), m["span_id"])
		parent, _ := m["parent_id"].(string)
		if m["parent_id"] != nil {
			require.Regexp(t, hex(16), parent)
		}
		require.Equal(t, 2021, time.UnixMicro(int64(m["ts"].(float64)*1e6)).UTC().Year(), "seconds")
		require.IsType(t, map[string]any{}, m["args"])
		require.Equal(t, "go", m["lang"])
		name := fmt.Sprintf("%v.%v", m["class"], m["method"])
		id := m["span_id"].(string)
		if m["event"] == "enter" {
			begun[id] = call{parent, name}
			if before, ok := begun[parent]; ok {
				require.NotEmpty(t, before)
				require.Positive(t, m["depth"])
			} else {
				require.Zero(t, m["depth"])
			}
			continue
		}
		ended++
		require.Equal(t, call{parent, name}, begun[id], "enter and exit say the same")
		require.IsType(t, map[string]any{}, m["result"])
		nanos += m["duration_ns"].(float64)
		if e, ok := m["error"].(map[string]any); ok {
			require.Len(t, e, 3)
			require.NotNil(t, e["type"])
			require.Empty(t, e["stack"])
			errors[name] = e["msg"].(string)
		}
	}
	require.Equal(t, c.spans, len(begun))
	require.Equal(t, c.spans-1, ended, "but that which is open")
	require.Equal(t, 2*c.spans-1, lines)
	require.Equal(t, map[string]string{"store.append": "no space left", "rooms.receive": "append: no space left"}, errors)
	require.Greater(t, nanos, 30e6)
	require.Contains(t, out, `"args":{"text":"{\"cut\":\"x...(truncated)"}`)
}
