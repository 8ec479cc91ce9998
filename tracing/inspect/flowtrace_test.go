package inspect

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// analysis is what the FlowTrace dashboard's analyzer and the FlowTrace server make of a log, by their rules:
// only EXIT lines make statistics, by class.method; a duration is durationMicros and nothing else; an error is an exception
// on the EXIT line, and one that a search for errors finds by the text of its result; a timestamp is milliseconds.
type analysis struct {
	enters, exits, exceptions int
	calls, errors             map[string]int
	micros                    map[string]int64
	found                     int // by log.errors
	first, last               time.Time
}

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
