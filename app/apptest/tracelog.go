package apptest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Line is a line of the trace log.
type Line struct {
	Timestamp    int64   `json:"timestamp"`
	Event        string  `json:"event"`
	Thread       string  `json:"thread"`
	Module       string  `json:"module"`
	Function     string  `json:"function"`
	Args         *string `json:"args"`
	Result       *string `json:"result"`
	Micros       *int64  `json:"durationMicros"`
	Millis       *int64  `json:"durationMillis"`
	TraceID      string  `json:"trace_id"`
	SpanID       string  `json:"span_id"`
	ParentSpanID string  `json:"parent_span_id"`
	LinkedTrace  string  `json:"linked_trace_id"`
	LinkedSpan   string  `json:"linked_span_id"`
	Exception    *struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"exception"`
}

// ParseTraceLog parses the text of a trace log. A line that is not complete fails the test.
func ParseTraceLog(t testing.TB, text string) []Line {
	t.Helper()
	var lines []Line
	for s := range strings.Lines(text) {
		if !strings.HasSuffix(s, "\n") {
			t.Fatalf("the last line is cut off: %s", s)
		}
		var l Line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		lines = append(lines, l)
	}
	return lines
}

// TraceLog reads the program's trace log. It is complete only after the program has been stopped.
func (p *Program) TraceLog(t testing.TB) []Line {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Dir, "traceroom.jsonl"))
	require.NoError(t, err)
	return ParseTraceLog(t, string(text))
}
