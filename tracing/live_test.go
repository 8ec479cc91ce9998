package tracing

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/live"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web"
	"github.com/traceroom/traceroom/web/page"
)

const patience = 10 * time.Second

// watched is a Telemetry and the server of its traces.
type watched struct {
	*Telemetry
	t   *testing.T
	url string
	log *logBuffer

	handler http.Handler
}

// logBuffer is a trace log in memory.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

func (*logBuffer) Sync() error { return nil }

func watch(t *testing.T, traces int, env ...string) *watched {
	t.Helper()
	w := &watched{t: t, log: &logBuffer{}}
	cfg := Config{ServiceName: "x", Version: "1", LiveTraces: traces, TraceLog: zapcore.WriteSyncer(w.log), Log: zap.NewNop()}
	cfg.Getenv = func(name string) string {
		for i := 0; i < len(env); i += 2 {
			if env[i] == name {
				return env[i+1]
			}
		}
		return ""
	}
	if cfg.Getenv("TRACE_LOG") == "off" {
		cfg.TraceLog = nil
	}
	var err error
	w.Telemetry, err = New(t.Context(), cfg)
	require.NoError(t, err)
	s := web.New(web.Config{
		Traces: w.Live(), Service: silent{}, Page: page.Handler(page.Config{Refuse: web.Refuse}), Metrics: http.NotFoundHandler(), Log: zap.NewNop(), Limits: web.DefaultLimits,
	})
	w.handler = s.Handler()
	server := httptest.NewServer(w.handler)
	w.url = server.URL
	t.Cleanup(func() {
		w.Live().EndViews()
		s.Drain(context.Background())
		server.Close()
		s.Close()
		require.NoError(t, w.Shutdown(context.Background()))
	})
	return w
}

var plainClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (w *watched) get(path string, status int, into any) string {
	w.t.Helper()
	res, err := plainClient.Get(w.url + path)
	require.NoError(w.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	require.Equal(w.t, status, res.StatusCode, string(body))
	if into != nil {
		require.NoError(w.t, json.Unmarshal(body, into), string(body))
	}
	return string(body)
}

func (w *watched) list(query string) []web.TraceSummary {
	w.t.Helper()
	var list web.Traces
	w.get("/traces"+query, http.StatusOK, &list)
	return list.Traces
}

func (w *watched) one(id string) web.Trace {
	w.t.Helper()
	var body web.Trace
	w.get("/traces/"+id, http.StatusOK, &body)
	return body
}

// connect opens connection n and returns the context of what it does.
func (w *watched) connect(n int) context.Context {
	r := httptest.NewRequest(http.MethodGet, "/ws/general/ada", nil)
	r.SetPathValue("room_id", "general")
	r.SetPathValue("client_id", "ada")
	ctx, answered := w.Connecting(r, &rooms.Conn{ID: fmt.Sprint("abcdef-", n), Transport: "websocket"})
	answered(http.StatusSwitchingProtocols)
	return span.Detach(ctx)
}

// message makes the spans of a message, and returns its trace's id.
func (w *watched) message(ctx context.Context, room string, err error) string {
	ctx, receive := w.tracer.Start(ctx, opReceive, keyRoom.Of(room), keyClient.Of("ada"),
		keyEvent.Of("message"), keySize.Int(5))
	_, stored := w.tracer.Start(ctx, opAppend, keyRoom.Of(room), keyMessage.Of("m"), keyBatch.Int(1))
	if err == nil {
		stored.Set(keySeq.Int(7))
	}
	stored.Finish(err)
	if err == nil {
		ctx, broadcast := w.tracer.Start(ctx, opBroadcast, keyRoom.Of(room), keyEvent.Of("message"))
		_, deliver := w.tracer.Start(ctx, opDeliver, keyRoom.Of(room), keyRecipients.Int(2))
		broadcast.Finish(nil)
		deliver.AddEvent("slow", trace.WithAttributes(keyConnection.Name().String("abcdef-2")))
		deliver.Set(keyWritten.Int(2), keyDropped.Int(0))
		receive.Set(keyMessage.Of("m"), keySeq.Int(7))
		defer deliver.Finish(nil)
	}
	receive.Finish(err)
	return receive.SpanContext().TraceID().String()
}

func TestATraceCanBeReadAsSoonAsItBegins(t *testing.T) {
	w := watch(t, 10)
	_, receive := w.tracer.Start(w.connect(1), opReceive, keyRoom.Of("general"))
	list := w.list("?operation=receive")
	require.Len(t, list, 1)
	require.Equal(t, 1, list[0].Open)
	require.Equal(t, "general", list[0].Room)
	require.Equal(t, "conn-1", list[0].Thread)
	body := w.one(list[0].TraceID)
	require.True(t, body.SpanList[0].Open)
	require.Len(t, body.Log, 1, "it has entered and not left")

	receive.End()
	body = w.one(list[0].TraceID)
	require.Zero(t, body.Open)
	require.False(t, body.SpanList[0].Open)
	require.Len(t, body.Log, 2)
}

func TestATraceHasItsSpansInTheirNesting(t *testing.T) {
	w := watch(t, 10)
	body := w.one(w.message(w.connect(1), "general", nil))
	var tree []string
	for _, s := range body.SpanList {
		tree = append(tree, strings.Repeat(">", s.Depth)+s.Operation)
		require.GreaterOrEqual(t, s.Offset, 0.)
		require.LessOrEqual(t, s.Offset+s.Duration, body.Duration+.001)
	}
	require.Equal(t, []string{"receive", ">append", ">broadcast", ">>deliver"}, tree)
	require.Equal(t, "none", body.SpanList[0].ParentIs)
	require.Equal(t, "here", body.SpanList[1].ParentIs)
	require.Equal(t, "consumer", body.SpanList[0].Kind)
	require.EqualValues(t, 7, body.SpanList[0].Attributes["traceroom.room.seq"])
	require.Equal(t, "abcdef-1", body.SpanList[0].Attributes["traceroom.connection.id"])
	require.Equal(t, "slow", body.SpanList[3].Events[0].Name)
	require.Equal(t, "abcdef-2", body.SpanList[3].Events[0].Attributes["traceroom.connection.id"])
}

func TestLinksLeadBothWays(t *testing.T) {
	w := watch(t, 10)
	one, two := w.connect(1), w.connect(2)
	first, second, other := w.message(one, "general", nil), w.message(one, "general", nil), w.message(two, "general", nil)

	link := w.one(first).SpanList[0].Links[0]
	require.True(t, link.Here)
	require.Equal(t, "connect", link.Operation)
	connection := w.one(link.TraceID)
	require.Equal(t, "connections", connection.Kind)
	require.Equal(t, link.SpanID, connection.SpanList[0].SpanID)
	var back []string
	for _, b := range connection.LinkedFrom {
		back = append(back, b.TraceID)
		require.Equal(t, "receive", b.Operation)
	}
	require.Equal(t, []string{second, first}, back, "the newest first")
	require.Equal(t, 2, connection.LinkCount)

	for _, query := range []string{"?connection=abcdef-1", "?connection=conn-1"} {
		var all []string
		for _, s := range w.list(query) {
			all = append(all, s.TraceID)
		}
		require.Equal(t, []string{second, first, link.TraceID}, all)
		require.NotContains(t, all, other)
	}
}

func TestChildrenMayComeBeforeTheirParents(t *testing.T) {
	w := watch(t, 10)
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	ctx := trace.ContextWithSpanContext(t.Context(), remote)
	_, deliver := w.tracer.Start(ctx, opDeliver)
	deliver.End()
	local := trace.ContextWithSpanContext(t.Context(), remote.WithRemote(false).WithSpanID(trace.SpanID{3}))
	_, stored := w.tracer.Start(local, opAppend)
	stored.End()
	body := w.one(remote.TraceID().String())
	require.Equal(t, "remote", body.SpanList[0].ParentIs)
	require.Equal(t, remote.SpanID().String(), body.SpanList[0].Parent)
	require.True(t, body.Remote)
	require.Equal(t, "missing", body.SpanList[1].ParentIs)
}

func TestFilters(t *testing.T) {
	w := watch(t, 10)
	one := w.connect(1)
	ok := w.message(one, "general", nil)
	failed := w.message(w.connect(2), "random", errors.New("the disk is full"))
	start := time.Now().Add(-time.Second)
	_, slow := w.traces.Tracer(scope).Start(one, opReceive.Name, trace.WithTimestamp(start), trace.WithAttributes(keyRoom.Name().String("slow")))
	slow.End()
	slowID := slow.SpanContext().TraceID().String()
	for query, want := range map[string][]string{
		"?room=general&operation=receive": {ok},
		"?operation=append":               {failed, ok},
		"?operation=Append&room=random":   {failed},
		"?min=500ms":                      {slowID},
		"?min=500":                        {slowID},
		"?errors=true":                    {failed},
		"?text=DISK+is":                   {failed},
		"?text=" + ok[:10]:                {ok},
		"?text=" + "random":               {failed},
		"?room=nowhere":                   {},
		"?operation=receive&limit=2":      {failed, slowID},
		"?operation=receive&errors=false": {failed, ok, slowID},
	} {
		got := []string{}
		for _, s := range w.list(query) {
			got = append(got, s.TraceID)
		}
		require.Equal(t, want, got, query)
	}
	summary := w.list("?errors=1")[0]
	require.Equal(t, 2, summary.Failed)
	require.NotEmpty(t, summary.Error)
	for _, query := range []string{"?min=soon", "?errors=maybe", "?limit=0", "?limit=1001"} {
		require.Contains(t, w.get("/traces"+query, http.StatusBadRequest, nil), `"status":400`)
		w.get("/traces/live"+query, http.StatusBadRequest, nil)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	w := watch(t, 10)
	for _, path := range []string{"/traces/xyz", "/traces/" + strings.Repeat("a", 32), "/traces/" + strings.Repeat("a", 32) + ".otlp.json", "/traces/a/b"} {
		require.Contains(t, w.get(path, http.StatusNotFound, nil), `"status":404`, path)
	}
	require.Empty(t, w.list(""))
}

func TestMemoryIsBoundedAndWhatIsLetGoIsCounted(t *testing.T) {
	w := watch(t, 10)
	ctx := w.connect(1)
	var ids []string
	for range 25 {
		ids = append(ids, w.message(ctx, "general", nil))
	}
	list := w.list("?operation=receive")
	require.Len(t, list, 10)
	for i, s := range list {
		require.Equal(t, ids[24-i], s.TraceID, "the newest")
		require.Equal(t, 4, s.Spans, "whole")
	}
	require.Len(t, w.list("?operation=connect"), 1, "messages do not push out connections")
	require.Equal(t, live.Counts{Traces: 11, Spans: 41, DroppedTraces: 15, DroppedSpans: 60}, w.live.Counts())
	w.get("/traces/"+ids[0], http.StatusNotFound, nil)

	for i := range 20 {
		w.connect(i)
	}
	require.Len(t, w.list("?operation=connect"), 5)
	require.Len(t, w.list("?operation=receive"), 10, "nor connections messages")
}

// One trace that goes on and on, as that of a client which sends the same traceparent with everything, keeps its newest
// spans; many of them keep to the bound in all.
func TestTracesThatGoOnAndOn(t *testing.T) {
	w := watch(t, 10)
	endless := func(n byte, spans int) string {
		parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{1}, TraceFlags: 1, Remote: true})
		for i := range spans {
			_, s := w.tracer.Start(trace.ContextWithSpanContext(t.Context(), parent), opReceive, keySeq.Int(i))
			s.End()
		}
		return parent.TraceID().String()
	}
	body := w.one(endless(1, 300))
	require.Equal(t, 300, body.Spans+body.LetGo)
	require.LessOrEqual(t, body.Spans, 256)
	require.EqualValues(t, 299, body.SpanList[len(body.SpanList)-1].Attributes["traceroom.room.seq"])

	for n := range byte(20) {
		endless(n+2, 60)
	}
	counts := w.live.Counts()
	require.LessOrEqual(t, counts.Spans, 10*8)
	require.EqualValues(t, 300+20*60, uint64(counts.Spans)+counts.DroppedSpans)
	require.Equal(t, 60, w.one(fmt.Sprintf("%02x", 21)+strings.Repeat("0", 30)).Spans)
}

// The lines of a trace are those that the trace log has of it.
func TestTheLinesAreThoseOfTheTraceLog(t *testing.T) {
	w := watch(t, 10)
	service := w.Service(silent{})
	var posted string
	conn := &rooms.Conn{ID: "abcdef-1", Transport: "websocket"}
	ctx := w.connect(1)
	_, _, err := service.PostMessage(ctx, rooms.Post{RoomID: "general", ClientID: "ada", Text: "hello", Transport: "websocket"})
	require.NoError(t, err)
	_, err = service.Join(ctx, conn, rooms.Join{RoomID: "general", ClientID: "ada"})
	require.NoError(t, err)
	require.Error(t, service.DeleteRoom(ctx, "general"))
	w.Disconnected(ctx, conn, 1000, "bye")
	w.message(ctx, "general", nil)
	posted = w.message(ctx, "general", errors.New("no"))
	require.NotEmpty(t, posted)

	want := map[string]int{}
	for _, l := range w.log.lines {
		want[l]++
	}
	got := map[string]int{}
	for _, s := range w.list("") {
		for _, l := range w.one(s.TraceID).Log {
			got[string(l)]++
		}
	}
	require.Equal(t, want, got)
}

// silent is a Service that does what is needed to be traced.
type silent struct{ rooms.Service }

func (silent) PostMessage(_ context.Context, p rooms.Post) (*rooms.Message, bool, error) {
	return &rooms.Message{ID: "id", Seq: 3, RoomID: p.RoomID, Text: p.Text}, false, nil
}
func (silent) Join(context.Context, *rooms.Conn, rooms.Join) (*rooms.Member, error) { return nil, nil }
func (silent) DeleteRoom(_ context.Context, id string) error {
	return rooms.NotFound("room", "room_id", id)
}

func TestAnExportIsOTLPJSON(t *testing.T) {
	w := watch(t, 10)
	id := w.message(w.connect(1), "general", nil)
	_, open := w.tracer.Start(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: must(trace.TraceIDFromHex(id)), SpanID: trace.SpanID{9}, TraceFlags: 1,
	})), opRelay)
	defer open.End()
	// As the specification has it: ids in hexadecimal, enums as numbers, names in lowerCamelCase, 64 bit numbers as text.
	var out struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []map[string]any }
			ScopeSpans []struct {
				Scope struct{ Name string }
				Spans []struct {
					TraceID           string `json:"traceId"`
					SpanID            string `json:"spanId"`
					ParentSpanID      string `json:"parentSpanId"`
					Name              string
					Kind              tracepb.Span_SpanKind
					StartTimeUnixNano string
					EndTimeUnixNano   string
					Attributes        []struct{ Key string }
					Links             []struct {
						TraceID string `json:"traceId"`
						SpanID  string `json:"spanId"`
					}
				}
			}
		}
	}
	w.get("/traces/"+id+".otlp.json", http.StatusOK, &out)
	require.Len(t, out.ResourceSpans, 1)
	require.NotEmpty(t, out.ResourceSpans[0].Resource.Attributes)
	require.Equal(t, scope, out.ResourceSpans[0].ScopeSpans[0].Scope.Name)
	spans := out.ResourceSpans[0].ScopeSpans[0].Spans
	body := w.one(id)
	require.Len(t, spans, len(body.SpanList))
	for i, s := range spans {
		want := body.SpanList[i]
		require.Equal(t, id, s.TraceID)
		require.Equal(t, want.SpanID, s.SpanID)
		require.Equal(t, want.Parent, s.ParentSpanID)
		require.Equal(t, want.Name, s.Name)
		require.Equal(t, want.Kind, strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")))
		require.LessOrEqual(t, s.StartTimeUnixNano, s.EndTimeUnixNano)
		require.Len(t, s.EndTimeUnixNano, 19)
		require.Len(t, s.Links, len(want.Links))
		for j := range s.Links {
			require.Equal(t, want.Links[j].TraceID, s.Links[j].TraceID)
			require.Equal(t, want.Links[j].SpanID, s.Links[j].SpanID)
		}
	}
	last := spans[len(spans)-1].Attributes
	require.Equal(t, "traceroom.open", last[len(last)-1].Key)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestWithoutAnythingRecordedTheViewSaysSo(t *testing.T) {
	for name, w := range map[string]*watched{
		"nothing sampled and no log": watch(t, 10, "OTEL_TRACES_SAMPLER", "always_off", "TRACE_LOG", "off"),
		"turned off":                 watch(t, 0),
	} {
		w.message(w.connect(1), "general", nil)
		var list web.Traces
		w.get("/traces", http.StatusOK, &list)
		require.Empty(t, list.Traces, name)
		require.False(t, list.Recording)
		require.NotEmpty(t, list.Notice)
		require.Contains(t, w.get("/traces/"+strings.Repeat("a", 32), http.StatusNotFound, nil), list.Notice)
	}
	// With a log there is something to see, though nothing is sampled.
	w := watch(t, 10, "OTEL_TRACES_SAMPLER", "always_off")
	w.message(w.connect(1), "general", nil)
	list := w.list("")
	require.Len(t, list, 2)
	require.False(t, list[0].Sampled)
}

// events reads a stream until the test ends.
func (w *watched) events(query string) <-chan [2]string {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/traces/live"+query, nil)
	require.NoError(w.t, err)
	res, err := plainClient.Do(req)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, res.StatusCode)
	require.Equal(w.t, "text/event-stream", res.Header.Get("Content-Type"))
	events := make(chan [2]string, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 4<<20)
		name := ""
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = text
			} else if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- [2]string{name, text}
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return events
}

// next returns the next event of this name.
func next(t *testing.T, events <-chan [2]string, name string, into any) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-events:
			require.True(t, ok, "the stream has ended")
			if e[0] == name {
				require.NoError(t, json.Unmarshal([]byte(e[1]), into))
				return
			}
		case <-timeout:
			t.Fatal("no event " + name)
		}
	}
}

func TestTheStreamTellsOfChanges(t *testing.T) {
	w := watch(t, 100)
	ctx := w.connect(1)
	before := w.message(ctx, "general", nil)
	events := w.events("?operation=receive")
	var e web.TraceUpdate
	next(t, events, "traces", &e)
	require.True(t, e.First)
	require.True(t, e.Recording)
	require.Len(t, e.Traces, 1)
	require.Equal(t, before, e.Traces[0].TraceID)
	var n web.Numbers
	next(t, events, "numbers", &n)
	require.Equal(t, 1, n.Connections)

	_, receive := w.tracer.Start(ctx, opReceive)
	next(t, events, "traces", &e)
	require.Len(t, e.Traces, 1)
	require.Equal(t, 1, e.Traces[0].Open)
	receive.End()
	next(t, events, "traces", &e)
	require.Len(t, e.Traces, 1)
	require.Equal(t, receive.SpanContext().TraceID().String(), e.Traces[0].TraceID)
	require.Zero(t, e.Traces[0].Open)
}

// What comes to match a filter only when it ends is told of then.
func TestTheStreamTellsOfWhatTurnsOutSlowOrFailed(t *testing.T) {
	w := watch(t, 100)
	failures, slow := w.events("?errors=1"), w.events("?min=20ms")
	var e web.TraceUpdate
	next(t, failures, "traces", &e)
	next(t, slow, "traces", &e)
	_, receive := w.tracer.Start(t.Context(), opReceive)
	for range 2 { // Both have looked while it was open.
		var n web.Numbers
		next(t, failures, "numbers", &n)
		next(t, slow, "numbers", &n)
	}
	receive.Finish(errors.New("late"))
	next(t, failures, "traces", &e)
	require.Equal(t, 1, e.Traces[0].Failed)
	next(t, slow, "traces", &e)
	require.GreaterOrEqual(t, e.Traces[0].Duration, 20e3)
}

// Who cannot be told of everything is told how much that is.
func TestTheStreamCountsWhatItLeavesOut(t *testing.T) {
	w := watch(t, 100)
	events := w.events("")
	var e web.TraceUpdate
	next(t, events, "traces", &e)
	const n = 90
	for range n {
		w.message(t.Context(), "general", nil)
	}
	told, skipped := map[string]bool{}, 0
	for len(told)+skipped < n {
		next(t, events, "traces", &e)
		require.LessOrEqual(t, len(e.Traces), 50+500)
		skipped += e.Skipped
		for _, s := range e.Traces {
			told[s.TraceID] = true
		}
	}
	require.Equal(t, n, len(told)+skipped)
}

func TestViewersHaveABound(t *testing.T) {
	w := watch(t, 10)
	for range 32 {
		w.events("")
	}
	require.Contains(t, w.get("/traces/live", http.StatusServiceUnavailable, nil), "watching")
}

func TestStreamsEndWithTheServer(t *testing.T) {
	w := watch(t, 10)
	events := w.events("")
	w.Live().EndViews()
	var none struct{}
	next(t, events, "bye", &none)
	_, ok := <-events
	require.False(t, ok)
}

// A viewer who takes nothing holds up nobody.
func TestASlowViewerHoldsUpNobody(t *testing.T) {
	w := watch(t, 100)
	stuck := &stuckWriter{header: http.Header{}, writing: make(chan struct{}), release: make(chan struct{})}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		w.handler.ServeHTTP(stuck, httptest.NewRequest(http.MethodGet, "/traces/live", nil).WithContext(ctx))
	}()
	<-stuck.writing
	for range 1000 {
		w.message(t.Context(), "general", nil)
	}
	require.Len(t, w.list("?limit=1000"), 100)
	cancel()
	close(stuck.release)
	<-done
}

// stuckWriter is a client that takes nothing until it is released.
type stuckWriter struct {
	header  http.Header
	once    sync.Once
	writing chan struct{}
	release chan struct{}
}

func (s *stuckWriter) Header() http.Header { return s.header }
func (s *stuckWriter) WriteHeader(int)     {}
func (s *stuckWriter) Flush()              {}
func (s *stuckWriter) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.writing) })
	<-s.release
	return len(p), nil
}

// Many goroutines begin and end spans while others look: for the race detector.
func TestLookingWhileSpansAreMade(t *testing.T) {
	w := watch(t, 20)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			ctx := w.connect(1)
			for range 200 {
				w.message(ctx, "general", nil)
			}
		})
	}
	for range 2 {
		all.Go(func() {
			v := w.live.Watch(live.Filter{Room: "general", Limit: 10})
			defer v.Close()
			for range 50 {
				v.Next(time.Now())
				list, _ := w.live.Find(live.Filter{Limit: 5})
				for _, one := range list {
					var gone *live.NotFoundError
					if _, err := w.live.Trace(one.TraceID); err != nil {
						require.ErrorAs(t, err, &gone)
					}
					if _, err := w.live.Export(one.TraceID); err != nil {
						require.ErrorAs(t, err, &gone)
					}
				}
			}
		})
	}
	all.Wait()
	counts := w.live.Counts()
	require.EqualValues(t, 4*(1+200*4), uint64(counts.Spans)+counts.DroppedSpans)
}

func TestNumbersComeFromTheMetrics(t *testing.T) {
	w := watch(t, 10)
	w.connect(1)
	at := time.Now()
	n := w.live.Numbers(at)
	require.Equal(t, 1, n.Connections)
	require.Nil(t, n.P50, "nothing was delivered")

	deliver := func(times int, d time.Duration) {
		for range times {
			w.metrics.stored("websocket")
			w.metrics.delivered(&rooms.Event{Kind: rooms.EventMessage, Received: at},
				rooms.Delivered{ByTransport: []rooms.TransportDelivered{{Transport: "websocket", Written: 1, Last: at.Add(d)}}}, trace.SpanContext{})
		}
	}
	deliver(98, 300*time.Microsecond)
	deliver(2, 30*time.Millisecond)
	n = w.live.Numbers(at.Add(time.Second))
	require.InDelta(t, 100, n.Messages, .1)
	require.InDelta(t, 375, *n.P50, 126, "within its bucket")
	require.InDelta(t, 37500, *n.P99, 12501)
	require.Zero(t, n.Over, "since the start")

	// A minute later only what came in it counts.
	for s := 2; s <= 70; s++ {
		n = w.live.Numbers(at.Add(time.Duration(s) * time.Second))
	}
	require.Zero(t, n.Messages)
	require.Nil(t, n.P50)
	require.Equal(t, 60*time.Second, n.Over)
	deliver(1, 3*time.Millisecond)
	n = w.live.Numbers(at.Add(71 * time.Second))
	require.InDelta(t, 3750, *n.P50, 1251)
}

// A list shows of each text no more than a line has room for: a viewer may ask for a thousand traces.
func TestListsShowTextInShort(t *testing.T) {
	w := watch(t, 500)
	long := strings.Repeat("\x01", maxText)
	for range 500 {
		s := w.tracer.StartAt(t.Context(), time.Now(), opReceive, keyRoom.Of(long), keyClient.Of(long), keyEvent.Of(long))
		s.SetStatus(codes.Error, long)
		s.End()
	}
	list := w.get("/traces?limit=1000", 200, nil)
	require.Less(t, len(list), 500*(4*6*256+1000))
	require.Len(t, w.list("?limit=1000"), 500)
}
