package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/tracing/inspect"
)

// call is an ENTER line with its EXIT.
type call struct {
	enter, exit apptest.Line
	at          int // of the ENTER line in the log
}

// pair returns pairs of ENTER and EXIT lines. Every ENTER must have one later EXIT, with the right duration, and a parent in the log,
// unless the parent is a client's span.
func pair(t *testing.T, lines []apptest.Line, clientSpans ...string) []call {
	t.Helper()
	var calls []call
	open := map[string]int{}
	all := map[string]int{}
	for i, l := range lines {
		// Plain conditions, because a log may have tens of thousands of lines.
		if l.Thread == "" || l.Module == "" || l.Function == "" || len(l.TraceID) != 32 || len(l.SpanID) != 16 {
			t.Fatalf("incomplete: %+v", l)
		}
		_, known := all[l.SpanID]
		switch l.Event {
		case "ENTER":
			if known || l.Args == nil || l.Micros != nil {
				t.Fatalf("not an ENTER line, or the second: %+v", l)
			}
			open[l.SpanID], all[l.SpanID] = len(calls), len(calls)
			calls = append(calls, call{enter: l, at: i})
		case "EXIT":
			at, ok := open[l.SpanID]
			if !ok || l.Result == nil || l.Micros == nil || l.Millis == nil {
				t.Fatalf("not an EXIT line, or without an ENTER: %+v", l)
			}
			delete(open, l.SpanID)
			calls[at].exit = l
			enter := calls[at].enter
			if enter.TraceID != l.TraceID || enter.Thread != l.Thread || enter.Module != l.Module || enter.Function != l.Function {
				t.Fatalf("the EXIT of another: %+v %+v", enter, l)
			}
			off := float64(l.Timestamp-enter.Timestamp) - float64(*l.Micros)/1000
			if *l.Micros < 0 || *l.Millis != *l.Micros/1000 || math.Abs(off) > 1 {
				t.Fatalf("not the duration of the timestamps: %+v %+v", enter, l)
			}
		default:
			t.Fatalf("neither ENTER nor EXIT: %+v", l)
		}
	}
	require.Empty(t, open, "ENTER without EXIT")
	for _, c := range calls {
		parent := c.enter.ParentSpanID
		if parent == "" || slices.Contains(clientSpans, parent) {
			continue
		}
		at, ok := all[parent]
		if !ok || calls[at].at > c.at || calls[at].enter.TraceID != c.enter.TraceID {
			t.Fatalf("the parent is not in the log before it: %+v", c.enter)
		}
	}
	return calls
}

// requireSound checks with the inspect command that the trace log of an ended program is complete.
func requireSound(t *testing.T, p *apptest.Program) {
	t.Helper()
	require.Zero(t, requireNoProblems(t, p).Open)
}

// requireNoProblems is requireSound for a program that was killed, so that some operations have no EXIT.
func requireNoProblems(t *testing.T, p *apptest.Program) inspect.Report {
	t.Helper()
	f, err := os.Open(filepath.Join(p.Dir, "traceroom.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	report, err := inspect.Check(t.Context(), f, inspect.CheckOptions{MaxProblems: 10, Name: "traceroom.jsonl"})
	require.NoError(t, err)
	require.Empty(t, report.Problems, "%d problems in %d lines", report.Found, report.Lines)
	require.Positive(t, report.Spans)
	return report
}

func count(calls []call, function string, failed bool) int {
	n := 0
	for _, c := range calls {
		if c.enter.Function == function && (c.exit.Exception != nil) == failed {
			n++
		}
	}
	return n
}

func TestEveryEnterHasItsExitUnderTwoHundredClients(t *testing.T) {
	const clients, rooms, messages = 200, 40, 5
	p := apptest.Start(t, apptest.Options{})
	errs := make(chan error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { errs <- converse(p, fmt.Sprint("room", i%rooms), fmt.Sprint("client", i), messages) })
	}
	wg.Wait()
	for range clients {
		require.NoError(t, <-errs)
	}
	p.Stop(t)
	requireSound(t, p)
	calls := pair(t, p.TraceLog(t), clientSpan)

	for function, want := range map[string]int{
		"connect": clients, "disconnect": clients, "join": clients, "leave": clients,
		"receive": clients * (messages + 1), // one is typing
		"append":  clients * messages,
		// each message, and for each client typing, joining and leaving
		"broadcast": clients * (messages + 3), "deliver": clients * (messages + 3),
		"start": 1, "drain": 1,
	} {
		require.Equal(t, want, count(calls, function, false), function)
	}
	require.Equal(t, clients, count(calls, "receive", true), "what was refused is told too")
	threads := map[string]bool{}
	for _, c := range calls {
		switch c.enter.Module {
		case "app":
			require.Equal(t, "main", c.enter.Thread)
		case "http":
			require.Equal(t, "http", c.enter.Thread)
		default:
			threads[c.enter.Thread] = true
		}
		if c.exit.Exception != nil {
			require.Equal(t, "empty_text", c.exit.Exception.Type)
			require.NotEmpty(t, c.exit.Exception.Message)
			require.Contains(t, *c.exit.Result, c.exit.Exception.Message)
			require.Contains(t, *c.exit.Result, "error")
		} else if !json.Valid([]byte(*c.exit.Result)) || !json.Valid([]byte(*c.enter.Args)) {
			t.Fatalf("args and result are JSON: %+v %+v", c.enter, c.exit)
		}
	}
	require.Len(t, threads, clients, "a thread for each connection")
	for thread := range threads {
		require.Regexp(t, `^conn-\d+$`, thread)
	}
}

// converse joins, sends a valid and an invalid message, and leaves.
func converse(p *apptest.Program, room, client string, messages int) error {
	c, err := p.Open(apptest.Dial{Room: room, Client: client})
	if err != nil {
		return err
	}
	defer c.Drop()
	for i := range messages {
		m := apptest.Message{Type: "message", Text: fmt.Sprint(i), Ref: fmt.Sprint("r", i)}
		if i == 0 {
			m.TraceParent = traceparent(frameTrace, "01")
		}
		if err := c.Write(m); err != nil {
			return err
		}
	}
	for _, frame := range []string{`{"type":"typing"}`, `{"type":"message","text":"","ref":"r"}`} {
		if err := c.Write(frame); err != nil {
			return err
		}
	}
	return c.Wait(func(frames []apptest.Frame) bool {
		n := 0
		for _, f := range frames {
			if strings.HasPrefix(f.Ref, "r") {
				n++
			}
		}
		return n == messages+1
	})
}

func TestALineSaysWhatHappened(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada := p.Join(t, "talk", "ada")
	ada.Say(t, secret)
	_, m := ada.UntilText(t, secret)
	ada.Leave(t)
	var text string
	apptest.Eventually(t, "the log is written, while the program runs", func() bool {
		b, err := os.ReadFile(filepath.Join(p.Dir, "traceroom.jsonl"))
		text = string(b)
		return err == nil && strings.Contains(text, `"function":"disconnect","result"`)
	})
	p.Stop(t)
	calls := pair(t, p.TraceLog(t))
	require.NotContains(t, text, secret)
	byFunction := map[string]call{}
	for _, c := range calls {
		if _, ok := byFunction[c.enter.Function]; !ok || c.enter.Function == "receive" {
			byFunction[c.enter.Function] = c
		}
	}
	id := strings.TrimPrefix(byFunction["connect"].enter.Thread, "conn-")
	for function, want := range map[string]struct{ module, args, result string }{
		"connect":    {"web", `{"connection_id":"ID","room_id":"talk","client_id":"ada","method":"GET","path":"/ws/talk/ada","user_agent":"Go-http-client/1.1","address":"127.0.0.1"}`, `{"status":101}`},
		"join":       {"rooms", `{"connection_id":"ID","room_id":"talk","client_id":"ada"}`, `{}`},
		"receive":    {"rooms", fmt.Sprintf(`{"connection_id":"ID","room_id":"talk","client_id":"ada","event":"message","text_length":%d}`, len(secret)), fmt.Sprintf(`{"message_id":%q,"seq":1}`, m.ID)},
		"append":     {"store", `{"connection_id":"ID","room_id":"talk"}`, fmt.Sprintf(`{"message_id":%q,"seq":1}`, m.ID)},
		"leave":      {"rooms", `{"connection_id":"ID","room_id":"talk","client_id":"ada"}`, `{}`},
		"disconnect": {"web", `{"connection_id":"ID","code":1000,"reason":""}`, `{}`},
	} {
		c := byFunction[function]
		require.Equal(t, want.module, c.enter.Module, function)
		require.JSONEq(t, strings.ReplaceAll(want.args, "ID", connectionID(t, c)), *c.enter.Args)
		require.JSONEq(t, want.result, *c.exit.Result)
		require.True(t, strings.HasSuffix(connectionID(t, c), "-"+id), "the thread is the connection's")
	}
	receive, connect := byFunction["receive"].enter, byFunction["connect"].enter
	require.Empty(t, receive.ParentSpanID)
	require.Equal(t, [2]string{connect.TraceID, connect.SpanID}, [2]string{receive.LinkedTrace, receive.LinkedSpan})
	require.Equal(t, receive.SpanID, byFunction["append"].enter.ParentSpanID)
}

func connectionID(t *testing.T, c call) string {
	t.Helper()
	var args struct {
		ConnectionID string `json:"connection_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(*c.enter.Args), &args))
	return args.ConnectionID
}

func TestWhereTheTraceLogGoes(t *testing.T) {
	long := strings.Repeat("é\"", 400)
	for name, test := range map[string]struct {
		args         []string
		file, stdout bool
		text         bool
	}{
		"file":             {nil, true, false, false},
		"both":             {[]string{"--trace-stdout"}, true, true, false},
		"standard output":  {[]string{"--trace-log=off", "--trace-stdout"}, false, true, false},
		"nowhere":          {[]string{"--trace-log=off"}, false, false, false},
		"file, with texts": {[]string{"--trace-text"}, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := apptest.Start(t, apptest.Options{Args: test.args})
			ada := p.Join(t, "talk", "ada")
			say(t, ada, "short "+secret, long)
			counted := p.Metrics(t)[`traceroom_operation_duration_seconds_count{operation="receive",outcome="ok"}`]
			p.Stop(t)
			require.EqualValues(t, 2, counted)
			file := filepath.Join(p.Dir, "traceroom.jsonl")
			if !test.file {
				require.NoFileExists(t, file)
			} else if test.stdout {
				b, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, string(b), p.Stdout(), "the same in both")
			}
			if !test.stdout {
				require.Empty(t, p.Stdout())
			}
			var lines []apptest.Line
			switch {
			case test.file:
				lines = p.TraceLog(t)
			case test.stdout:
				lines = apptest.ParseTraceLog(t, p.Stdout())
			default:
				return
			}
			var received []string
			for _, c := range pair(t, lines) {
				if c.enter.Function == "receive" {
					received = append(received, *c.enter.Args)
				}
			}
			require.Len(t, received, 2)
			require.Contains(t, received[0], fmt.Sprintf(`"text_length":%d`, len("short "+secret)))
			require.Contains(t, received[1], fmt.Sprintf(`"text_length":%d`, len(long)))
			if !test.text {
				require.NotContains(t, received[0], secret)
				require.NotContains(t, received[1], "é")
				return
			}
			var args struct{ Text string }
			require.NoError(t, json.Unmarshal([]byte(received[0]), &args))
			require.Equal(t, "short "+secret, args.Text)
			const cut = "...(truncated)"
			require.True(t, strings.HasSuffix(received[1], cut), received[1])
			require.Equal(t, 500+len(cut), utf8.RuneCountInString(received[1]))
		})
	}
}
