package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/page/browsertest"
)

// liveTrace is the part of a trace in GET /traces and GET /traces/{trace_id} that tests need.
type liveTrace struct {
	TraceID    string `json:"trace_id"`
	Name       string `json:"name"`
	Operation  string `json:"operation"`
	Room       string `json:"room"`
	Connection string `json:"connection_id"`
	Open       int    `json:"open_count"`
	Spans      []struct {
		SpanID    string `json:"span_id"`
		Parent    string `json:"parent_span_id"`
		Operation string `json:"operation"`
		Depth     int    `json:"depth"`
		Links     []struct {
			TraceID string `json:"trace_id"`
		} `json:"links"`
	} `json:"spans"`
	LinkedFrom []struct {
		TraceID string `json:"trace_id"`
	} `json:"linked_from"`
	Log []json.RawMessage `json:"log"`
}

func liveTraces(t *testing.T, p *apptest.Program, query string) []liveTrace {
	t.Helper()
	var list struct {
		Traces []liveTrace `json:"traces"`
	}
	res := p.Get(t, "/traces?"+query)
	require.Equal(t, http.StatusOK, res.Status, res.Body)
	res.JSON(t, &list)
	return list.Traces
}

func liveTraceOf(t *testing.T, p *apptest.Program, id string) liveTrace {
	t.Helper()
	var trace liveTrace
	res := p.Get(t, "/traces/"+id)
	require.Equal(t, http.StatusOK, res.Status, res.Body)
	res.JSON(t, &trace)
	return trace
}

// ended waits until a message's trace has no open span.
func ended(t *testing.T, p *apptest.Program, f apptest.Frame) liveTrace {
	t.Helper()
	id := strings.Split(f.TraceParent, "-")[1]
	var trace liveTrace
	apptest.Eventually(t, "the message is delivered", func() bool {
		trace = liveTraceOf(t, p, id)
		return trace.Open == 0 && len(trace.Spans) == 4
	})
	return trace
}

func TestTracesCanBeReadWhileTheyHappen(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada, bob := p.Join(t, "general", "ada"), p.Join(t, "random", "bob")
	ada.Say(t, "hello")
	_, echo := ada.UntilText(t, "hello")
	bob.Say(t, "elsewhere")
	_, other := bob.UntilText(t, "elsewhere")
	trace := ended(t, p, echo)
	ended(t, p, other)

	var tree []string
	for _, s := range trace.Spans {
		tree = append(tree, strings.Repeat(">", s.Depth)+s.Operation)
	}
	require.Equal(t, []string{"receive", ">append", ">broadcast", ">>deliver"}, tree)

	// Follows its link to the connection, and from there back.
	connection := liveTraceOf(t, p, trace.Spans[0].Links[0].TraceID)
	require.Equal(t, "connect", connection.Operation)
	require.Equal(t, trace.Connection, connection.Connection)
	require.Equal(t, trace.TraceID, connection.LinkedFrom[len(connection.LinkedFrom)-1].TraceID)
	for _, t1 := range liveTraces(t, p, "connection="+trace.Connection) {
		require.Equal(t, trace.Connection, t1.Connection)
	}
	require.Len(t, liveTraces(t, p, "room=random&operation=deliver&limit=1000"), 2, "bob's message and his joining")
	require.Empty(t, liveTraces(t, p, "min=1h"))

	// Looking leaves no traces.
	p.Get(t, "/page/app.js")
	p.Get(t, "/rooms")
	var names []string
	for _, t1 := range liveTraces(t, p, "limit=1000") {
		names = append(names, t1.Name)
	}
	require.Contains(t, names, "GET /rooms")
	for _, name := range names {
		require.NotContains(t, name, "traces")
		require.NotContains(t, name, "page")
	}

	// Its lines are exactly those of the trace log.
	p.Stop(t)
	text, err := os.ReadFile(filepath.Join(p.Dir, "traceroom.jsonl"))
	require.NoError(t, err)
	logged := strings.Split(string(text), "\n")
	require.Len(t, trace.Log, 8)
	for _, line := range trace.Log {
		require.Contains(t, logged, string(line))
	}
}

// otlpIDs are ids in hexadecimal digits where protojson expects base64.
var otlpIDs = regexp.MustCompile(`("(?:traceId|spanId|parentSpanId)":\s*")([0-9a-f]+)"`)

func TestATraceCanBeExported(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "export", "ada")
	ada.Say(t, "hello")
	_, echo := ada.UntilText(t, "hello")
	trace := ended(t, p, echo)
	res := p.Get(t, "/traces/"+trace.TraceID+".otlp.json")
	require.Equal(t, http.StatusOK, res.Status)
	require.Contains(t, res.Header.Get("Content-Disposition"), "attachment")
	body := otlpIDs.ReplaceAllStringFunc(res.Body, func(s string) string {
		parts := otlpIDs.FindStringSubmatch(s)
		id, err := hex.DecodeString(parts[2])
		require.NoError(t, err)
		return parts[1] + base64.StdEncoding.EncodeToString(id) + `"`
	})
	var data tracepb.TracesData
	require.NoError(t, protojson.Unmarshal([]byte(body), &data))
	require.Len(t, data.ResourceSpans, 1)
	spans := data.ResourceSpans[0].ScopeSpans[0].Spans
	require.Len(t, spans, len(trace.Spans))
	for i, s := range spans {
		require.Equal(t, trace.TraceID, hex.EncodeToString(s.TraceId))
		require.Equal(t, trace.Spans[i].SpanID, hex.EncodeToString(s.SpanId))
		require.Equal(t, trace.Spans[i].Parent, hex.EncodeToString(s.ParentSpanId))
		require.Less(t, s.StartTimeUnixNano, s.EndTimeUnixNano)
	}
}

func TestWhereNothingIsRecordedTheViewSaysSo(t *testing.T) {
	for name, opts := range map[string]apptest.Options{
		"always_off": {Env: []string{"OTEL_TRACES_SAMPLER=always_off", "TRACE_LOG=off"}},
		"turned off": {Args: []string{"--live-traces", "0"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			p := apptest.Start(t, opts)
			ada := p.Join(t, "general", "ada")
			ada.Say(t, "hello")
			ada.UntilText(t, "hello")
			var list struct {
				Traces    []any  `json:"traces"`
				Recording bool   `json:"recording"`
				Notice    string `json:"notice"`
			}
			p.Get(t, "/traces").JSON(t, &list)
			require.Empty(t, list.Traces)
			require.False(t, list.Recording)
			require.NotEmpty(t, list.Notice)
		})
	}
	out := apptest.Run(t, apptest.Options{Args: []string{"--live-traces", "-1"}})
	require.Equal(t, 2, out.Code)
	require.Contains(t, out.Stderr, "--live-traces")
}

// What people see: the panel in one tab while others talk. The subtests share one program and one browser.
func TestTracesInThePage(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	browser := browsertest.Start(t)
	talk := person(t, p, browser, "/?room=general&name=ada")
	watch := person(t, p, browser, "/?room=random&name=bob&traces=1")
	watch.WaitText("#traces-state", "Live")
	say := func(text string) {
		talk.Click("#message")
		talk.Paste(text)
		talk.Press("\r")
		talk.WaitText("#messages .text", text)
	}
	// seen sends a message in one tab and returns how long it takes until its trace is in the list of the other.
	seen := func(text string) time.Duration {
		before := browsertest.Eval[float64](watch, newestReceived)
		began := time.Now()
		say(text)
		watch.Wait(fmt.Sprintf("%s > %f", newestReceived, before))
		return time.Since(began)
	}
	quickest := func(prefix string) time.Duration {
		best := seen(prefix)
		for i := range 4 {
			best = min(best, seen(fmt.Sprint(prefix, " ", i)))
		}
		return best
	}

	first := quickest("hello")
	t.Logf("a message's trace is listed in another tab after %v", first)
	require.Less(t, first, time.Second)

	t.Run("from the message to its waterfall, its connection and back", func(t *testing.T) {
		say("where do I go?")
		talk.Click("#messages li.row:last-of-type .trace-show")
		talk.Wait(`document.querySelectorAll('.spans li').length === 4 && !document.querySelector('.spans .is-open')`)
		require.Equal(t, "1 receive, 2 append, 2 broadcast, 3 deliver", browsertest.Eval[string](talk,
			`[...document.querySelectorAll('.spans li')].map((e) => e.ariaLevel + ' ' + e.querySelector('.span-name').textContent).join(', ')`))
		require.True(t, browsertest.Eval[bool](talk, `(() => {
			const [receive, append, broadcast, deliver] = [...document.querySelectorAll('.spans .bar')].map((e) => e.getBoundingClientRect());
			return append.left >= receive.left && append.right <= receive.right + 1 && broadcast.left >= append.right - 4 && deliver.left >= broadcast.left - 1;
		})()`), "the bars stand where the time went")
		talk.Click(".span-view .to .follow")
		talk.WaitText(".trace-title", "connect")
		talk.WaitText(".span-view .from", "receive message")
		talk.Click(".span-view .from li:first-of-type .follow")
		talk.WaitText(".trace-title", "receive")
		talk.Click(".all-of")
		talk.WaitText("#traces-list .what", "connect")
		require.Len(t, browsertest.Eval[[]string](talk, `[...new Set([...document.querySelectorAll('#traces-list .about')].map((e) => e.textContent.match(/conn-\d+/)?.[0]))]`), 1)
		talk.Click("#traces-close")
	})

	t.Run("a filter narrows", func(t *testing.T) {
		watch.Wait(`document.querySelector('#trace-filters [name=room] option[value=random]')`)
		browsertest.Eval[bool](watch, `((s) => { s.value = 'random'; s.dispatchEvent(new Event('change', { bubbles: true })); return true; })(document.querySelector('#trace-filters [name=room]'))`)
		watch.Wait(`document.querySelector('#traces-list li') && [...document.querySelectorAll('#traces-list .about')].every((e) => e.textContent.startsWith('#random'))`)
		browsertest.Eval[bool](watch, `((s) => { s.value = ''; s.dispatchEvent(new Event('change', { bubbles: true })); return true; })(document.querySelector('#trace-filters [name=room]'))`)
		watch.WaitText("#traces-list .about", "#general")
	})

	t.Run("ten thousand messages later it is as quick", func(t *testing.T) {
		crowd := p.Join(t, "general", "crowd")
		for i := range 10_000 {
			crowd.Send(t, apptest.Message{Type: "message", Text: fmt.Sprint("m", i)})
			if i%1000 == 999 {
				crowd.UntilText(t, fmt.Sprint("m", i))
			}
		}
		talk.WaitText("#messages .text", "m9999")
		later := quickest("and now")
		t.Logf("after 10,000 messages, after %v", later)
		require.Less(t, later, first+time.Second)
		require.LessOrEqual(t, browsertest.Eval[int](watch, `document.querySelectorAll('#traces-list li').length`), 300)
		watch.WaitText("#traces-foot", "older let go")
		// The connection that all these messages are linked to is still there.
		require.NotEmpty(t, liveTraces(t, p, "operation=connect"))
	})

	t.Run("watching makes no traces", func(t *testing.T) {
		for _, trace := range liveTraces(t, p, "limit=1000") {
			require.NotContains(t, trace.Name, "/traces")
			require.NotContains(t, trace.Name, "/page")
		}
	})

	t.Run("the server does not wait for those who watch", func(t *testing.T) {
		for _, tab := range []*browsertest.Tab{talk, watch} {
			tab.Expect("WebSocket connection to")
			tab.Expect("net::ERR_")
		}
		require.Less(t, p.Stop(t), 5*time.Second)
		watch.WaitText("#traces-state", "Not connected")
	})
}

// newestReceived returns the start, in Unix microseconds, of the newest message in the list.
const newestReceived = `Number([...document.querySelectorAll('#traces-list li')].find((e) => e.querySelector('.what').textContent === 'receive message')?.dataset.start ?? 0)`

// person opens the page in a separate browser.
func person(t *testing.T, p *apptest.Program, browser context.Context, path string) *browsertest.Tab {
	t.Helper()
	tab := browsertest.NewTab(t, browser, p.URL, chromedp.WithNewBrowserContext())
	tab.Prefer("prefers-reduced-motion", "reduce")
	tab.Open(path)
	tab.Wait(`document.querySelector('#status').dataset.phase === 'open'`)
	return tab
}
