package tracing

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// requireBounded sees to it that nothing that s says is longer than a span may say.
func requireBounded(t *testing.T, s sdktrace.ReadOnlySpan) {
	t.Helper()
	require.LessOrEqual(t, len(s.Name()), maxText)
	require.LessOrEqual(t, len(s.Status().Description), maxText)
	attributes := func(list []attribute.KeyValue) {
		for _, kv := range list {
			require.LessOrEqual(t, len(kv.Value.String()), maxText, kv.Key)
		}
	}
	attributes(s.Attributes())
	for _, e := range s.Events() {
		require.LessOrEqual(t, len(e.Name), maxText)
		attributes(e.Attributes)
	}
	for _, l := range s.Links() {
		attributes(l.Attributes)
	}
}

// Whatever way text comes into a span, of an operation or of a library, it is cut there.
func TestEveryTextOfASpanIsCut(t *testing.T) {
	long := strings.Repeat("日", 1<<20)
	w := watch(t, 10)
	starts := map[string]func() trace.Span{
		"operation": func() trace.Span {
			return w.tracer.StartAt(t.Context(), time.Now(), opGetRoom, keyRoom.Of(long))
		},
		"library": func() trace.Span {
			_, s := span.Bounded(w.traces, maxText).Tracer(httpScope).Start(t.Context(), long, trace.WithAttributes(attribute.String("user_agent.original", long)),
				trace.WithLinks(trace.Link{Attributes: []attribute.KeyValue{attribute.String("a", long)}}))
			return s
		},
	}
	for name, start := range starts {
		s := start()
		s.SetName(long)
		s.SetAttributes(attribute.String("messaging.destination.name", long), attribute.String("foreign", long),
			attribute.StringSlice("list", []string{long, long}), attribute.String("short", "s"), attribute.Int("n", 5))
		s.AddEvent(long, trace.WithAttributes(attribute.String("a", long)))
		s.RecordError(errors.New(long))
		s.AddLink(trace.Link{Attributes: []attribute.KeyValue{attribute.String("a", long)}})
		s.SetStatus(codes.Error, long)
		s.End()
		read := s
		if name == "library" { // within what bounds it
			read = reflect.ValueOf(s).FieldByName("Span").Interface().(trace.Span)
		}
		got := read.(sdktrace.ReadOnlySpan)
		requireBounded(t, got)
		require.Len(t, got.Events(), 2, name)
		require.Contains(t, got.Attributes(), attribute.String("short", "s"), name)
		require.Contains(t, got.Attributes(), attribute.Int("n", 5), name)
		require.Contains(t, got.Attributes(), attribute.String("foreign", span.Cut(long, maxText)), name)
	}
	failed := w.tracer.StartAt(t.Context(), time.Now(), opGetRoom)
	failed.Finish(&rooms.Error{Code: rooms.CodeInvalid, Detail: long})
	requireBounded(t, failed)
	for _, l := range w.log.all() {
		require.Less(t, len(l), 8<<10, "a line of the trace log")
	}
}

func (b *logBuffer) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines[:len(b.lines):len(b.lines)]
}

// What a request says of itself is nowhere at full length: not in spans, the trace log, the live traces or the metrics.
func TestRequestsAreObservedWithinBounds(t *testing.T) {
	const size = 100_000
	long := strings.Repeat("x", size)
	w := watch(t, 10)
	h := w.HTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(*http.Request) string { return "/rooms/{room_id}" },
		func(*http.Request) bool { return false })
	for _, method := range []string{http.MethodGet, long} {
		r := httptest.NewRequest(http.MethodGet, "/rooms/"+long, nil)
		r.Method, r.Host = method, long
		r.Header.Set("User-Agent", long)
		r.Header.Set("X-Forwarded-For", long)
		r.Header.Set("Tracestate", "a="+long)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	r := httptest.NewRequest(http.MethodGet, "/ws/"+long+"/x?tracestate="+long, nil)
	r.SetPathValue("room_id", long)
	r.SetPathValue("client_id", long)
	_, answered := w.Connecting(r, &rooms.Conn{ID: "abcdef-1", Transport: "websocket"})
	answered(http.StatusUnprocessableEntity)

	list := w.list("")
	require.Len(t, list, 3)
	for _, trace := range list {
		require.Less(t, len(w.get("/traces/"+trace.TraceID, http.StatusOK, nil)), 64<<10)
		for _, s := range w.one(trace.TraceID).SpanList {
			require.Less(t, len(s.Name), 100)
		}
	}
	for _, l := range w.log.all() {
		require.Less(t, len(l), 8<<10)
	}
	metrics := httptest.NewRecorder()
	w.MetricsHandler().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, metrics.Body.String(), `http_route="/rooms/{room_id}"`)
	require.NotContains(t, metrics.Body.String(), "xxxx")
}

func TestACloseReasonIsCut(t *testing.T) {
	w := watch(t, 10)
	w.Disconnected(w.connect(1), &rooms.Conn{ID: "abcdef-1", Transport: "socket.io"}, 0, strings.Repeat("x", 1<<20))
	for _, trace := range w.list("") {
		body := w.one(trace.TraceID)
		b, err := json.Marshal(body)
		require.NoError(t, err)
		require.Less(t, len(b), 16<<10)
	}
}

func TestTracestateIsCutOnEveryWayIn(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	member := func(c string, n int) string { return c + "=" + strings.Repeat("v", n-2) }
	whole := member("a", 100) + "," + member("b", 200) + "," + member("c", 210) // 512 bytes
	for in, want := range map[string]string{
		"a=1":                          "a=1",
		whole:                          whole,
		whole + ",d=1":                 whole,
		whole + "v":                    member("a", 100) + "," + member("b", 200),
		whole + "," + member("d", 250): whole,
		member("a", 256) + " , " + member("b", 256): member("a", 256),
		strings.Repeat("x", 513):                    "",
		member("a", 256) + strings.Repeat(",", 600): member("a", 256),
	} {
		state := func(ctx context.Context) string { return trace.SpanContextFromContext(ctx).TraceState().String() }
		require.Equal(t, want, state(span.Extract(t.Context(), parent, in)), "a payload")

		w := watch(t, 10)
		for way, r := range map[string]*http.Request{
			"header": httptest.NewRequest(http.MethodGet, "/ws/a/b", nil), "query": httptest.NewRequest(http.MethodGet, "/ws/a/b", nil),
		} {
			if way == "header" {
				r.Header.Set("Traceparent", parent)
				r.Header.Set("Tracestate", in)
			} else {
				q := r.URL.Query()
				q.Set("traceparent", parent)
				q.Set("tracestate", in)
				r.URL.RawQuery = q.Encode()
			}
			ctx, answered := w.Connecting(r, &rooms.Conn{ID: "abcdef-1", Transport: "websocket"})
			answered(http.StatusSwitchingProtocols)
			require.Equal(t, want, state(ctx), way)
		}
		r := httptest.NewRequest(http.MethodPost, "/messages", nil)
		r.Header.Set("Traceparent", parent)
		r.Header.Set("Tracestate", in)
		w.HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { require.Equal(t, want, state(r.Context())) }),
			func(*http.Request) string { return "/messages" }, func(*http.Request) bool { return false }).ServeHTTP(httptest.NewRecorder(), r)
	}
}
