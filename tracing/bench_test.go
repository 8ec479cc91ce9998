package tracing

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/otlp"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/tracelog"
)

// discarding is an OTLP client that keeps nothing.
type discarding struct{}

func (discarding) Start(context.Context) error                                  { return nil }
func (discarding) Stop(context.Context) error                                   { return nil }
func (discarding) UploadTraces(context.Context, []*tracepb.ResourceSpans) error { return nil }

// observing is a Telemetry that does all it can: trace log, metrics, live traces, and export by OTLP.
func observing(tb testing.TB) *Telemetry {
	tb.Helper()
	m := newMetrics()
	export, err := otlp.New(tb.Context(), discarding{}, resource.Empty(),
		otlp.Limits{Queue: 1 << 20, Batch: 2048, Bytes: otlp.DefaultLimits.Bytes, Delay: time.Hour, Timeout: time.Second}, func(int) {})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, export.Shutdown(context.Background())) })
	sampler, _, err := samplerFromEnv(func(string) string { return "" })
	require.NoError(tb, err)
	return &Telemetry{metrics: m, tracer: span.NewTracer(span.Config{
		Table: table, Sampler: sampler, ErrorType: errorType,
		Observers: []span.Observer{tracelog.New(table, zapcore.AddSync(io.Discard), opReceive), operationTimes{m}, newLive(500, false, m, nil), export},
	})}
}

// A Service that says at once that a message is stored, a Store that says so, and a Relay.
type (
	acceptingService struct{ rooms.Service }
	acceptingStore   struct{ rooms.Store }
	acceptingRelay   struct{ rooms.Relay }
)

func (acceptingService) Send(_ context.Context, _ rooms.Post, done func(*rooms.Message, bool, error)) error {
	done(message, false, nil)
	return nil
}
func (acceptingStore) Append(context.Context, string, []rooms.Draft) error { return nil }
func (acceptingRelay) Publish(context.Context, *rooms.Event) error         { return nil }

var (
	message = &rooms.Message{ID: "01a201d3-6fac-77cf-b113-1ce1a3267b62", RoomID: "general", ClientID: "ada", Text: "hello", Seq: 123456}
	outcome = rooms.Delivered{Slowest: "abcdef-17", ByTransport: []rooms.TransportDelivered{{Transport: "websocket", Written: 200}}}
)

// steps is what is observed of a message, each as often as there are messages: in the context of its connection, and of
// its own.
func steps(tb testing.TB) map[string]func() {
	t := observing(tb)
	conn := span.ContextWithConnection(context.Background(), newConnection("abcdef-17", "websocket"))
	ctx, _ := t.tracer.Start(conn, opReceive)
	service, store, relay, hooks := t.Service(acceptingService{}), t.Store(acceptingStore{}, "sqlite"), t.Relay(acceptingRelay{}), t.Hooks()
	drafts := make([]rooms.Draft, 10)
	for i := range drafts {
		drafts[i] = rooms.Draft{Ctx: ctx, Message: message}
	}
	post := rooms.Post{RoomID: "general", ClientID: "ada", Text: "hello", Transport: "websocket"}
	event := rooms.Event{Kind: rooms.EventMessage, RoomID: "general", ClientID: "ada", Message: message, Transport: "websocket", Received: time.Now()}
	return map[string]func(){
		"receive":   func() { _ = service.Send(conn, post, func(*rooms.Message, bool, error) {}) },
		"append10":  func() { _ = store.Append(ctx, "general", drafts) },
		"broadcast": func() { _ = relay.Publish(ctx, &event) },
		"deliver":   func() { hooks.Delivering(ctx, &event, 200)(outcome) },
	}
}

// What observing costs at each step of a message, with everything on but the writing to a file and the sending.
func BenchmarkObserved(b *testing.B) {
	for name, step := range steps(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}

// What keeping the newest traces adds to a message's four spans: the difference between the two.
func BenchmarkMessageSpans(b *testing.B) {
	for _, with := range []bool{false, true} {
		name := "without"
		m := newMetrics()
		config := span.Config{Table: table, Sampler: sdktrace.AlwaysSample(), Observers: []span.Observer{operationTimes{m}}}
		if with {
			name = "with"
			config.Observers = append(config.Observers, newLive(500, false, m, nil))
		}
		t := span.NewTracer(config)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			attrs := []span.Attr{keyEvent.Of("message"), keyRecipients.Int(8), keySeq.Int(7), keyUser.Of("user"), keyCount.Int(1)}
			for b.Loop() {
				ctx, receive := t.Start(b.Context(), opReceive, attrs...)
				_, stored := t.Start(ctx, opAppend, attrs...)
				stored.End()
				ctx, broadcast := t.Start(ctx, opBroadcast, attrs...)
				_, deliver := t.Start(ctx, opDeliver, attrs...)
				broadcast.End()
				receive.End()
				deliver.End()
			}
		})
	}
}
