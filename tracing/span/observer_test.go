package span_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// seen is what an observer of somebody else's finds out about a span.
type seen struct {
	operation, thread  string
	trace, id, parent  string
	attrs, begun       map[string]any
	foreign            []attribute.KeyValue
	failed             bool
	took               time.Duration
	remote, linked     bool
	events, startBytes int
}

// recorder is an Observer written outside the package.
type recorder struct {
	mu    sync.Mutex
	open  map[trace.SpanID]seen
	ended []seen
}

func values(attrs []span.Attr) map[string]any {
	m := make(map[string]any)
	for i := range attrs {
		if a := &attrs[i]; a.Key().IsNumber() {
			m[string(a.Key().Name())] = a.Int64()
		} else {
			m[string(a.Key().Name())] = a.Text()
		}
	}
	return m
}

func (r *recorder) Began(_ context.Context, s *span.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[s.SpanID()] = seen{begun: values(s.StartAttrs()), startBytes: s.StartSize()}
}

func (r *recorder) Ended(s *span.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.open[s.SpanID()]
	delete(r.open, s.SpanID())
	v.operation, v.trace, v.id, v.parent = s.Operation().Function, s.TraceID().String(), s.SpanID().String(), s.ParentID().String()
	v.attrs, v.took, v.remote = values(s.Attrs()), s.Duration(), s.HasRemoteParent()
	for _, kv := range s.Operation().Attrs {
		v.attrs[string(kv.Key)] = kv.Value.AsInterface()
	}
	if c := s.Connection(); c != nil {
		id := c.ID()
		maps.Copy(v.attrs, values([]span.Attr{id}))
		v.thread = c.Thread()
		for _, kv := range c.Kind().Shared(s.Operation()) {
			v.attrs[string(kv.Key)] = kv.Value.AsInterface()
		}
	}
	if _, ok := s.Link(); ok {
		v.linked = true
	}
	if s.HasMore() {
		v.failed, v.events, v.foreign = s.Status().Code == codes.Error, len(s.Events()), s.Foreign()
	}
	r.ended = append(r.ended, v)
}

// Whoever writes an Observer outside the package gets every span, with all of its attributes.
func TestAnObserverGetsEverySpanWithItsAttributes(t *testing.T) {
	r := &recorder{open: make(map[trace.SpanID]seen)}
	tracer := spantest.NewTracer(r)
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx := span.ContextWithConnection(trace.ContextWithSpanContext(t.Context(), remote), spantest.NewConnection("abcdef-17", remote))
	ctx, receive := tracer.Start(ctx, spantest.Receive, spantest.Room.Of("general"), spantest.Size.Int(5))
	_, stored := tracer.Start(ctx, spantest.Append, spantest.Room.Of("general"))
	stored.SetAttributes(attribute.Bool("foreign", true), attribute.Int("traceroom.room.seq", 6))
	stored.Finish(errors.New("the disk is full"))
	receive.AddEvent("slow")
	receive.FinishAt(receive.StartTime().Add(time.Second), nil, spantest.Seq.Int64(7))
	receive.Finish(errors.New("it has ended already"))

	require.Empty(t, r.open)
	require.Len(t, r.ended, 2)
	first, second := r.ended[0], r.ended[1]
	require.Equal(t, "append", first.operation)
	require.Equal(t, second.id, first.parent)
	require.Equal(t, map[string]any{"messaging.destination.name": "general"}, first.begun)
	require.Equal(t, map[string]any{
		"messaging.destination.name": "general", "traceroom.room.seq": int64(6), "error.type": "unavailable", "traceroom.connection.id": "abcdef-17",
	}, first.attrs)
	require.Equal(t, []attribute.KeyValue{attribute.Bool("foreign", true)}, first.foreign)
	require.True(t, first.failed)
	require.False(t, first.linked)
	require.False(t, first.remote)

	require.Equal(t, "receive", second.operation)
	require.Equal(t, remote.TraceID().String(), second.trace)
	require.Equal(t, remote.SpanID().String(), second.parent)
	require.Equal(t, map[string]any{"messaging.destination.name": "general", "messaging.message.body.size": int64(5)}, second.begun)
	require.Equal(t, []string{
		"messaging.destination.name", "messaging.message.body.size", "messaging.operation.name", "messaging.system", "network.protocol.name",
		"traceroom.connection.id", "traceroom.room.seq",
	}, slices.Sorted(maps.Keys(second.attrs)))
	require.Equal(t, "conn-17", second.thread)
	require.Equal(t, time.Second, second.took)
	require.True(t, second.remote)
	require.True(t, second.linked)
	require.False(t, second.failed)
	require.Equal(t, 1, second.events)
	require.Positive(t, second.startBytes)
}

// What a SpanProcessor of the SDK's reads of a span is what an Observer does.
func TestTheSDKReadsTheSameAttributes(t *testing.T) {
	r := &recorder{open: make(map[trace.SpanID]seen)}
	tracer := spantest.NewTracer(r)
	ctx := span.ContextWithConnection(t.Context(), spantest.NewConnection("abcdef-17", trace.SpanContext{}))
	for _, op := range []*span.Operation{spantest.Receive, spantest.Join, spantest.Append} {
		s := tracer.StartAt(ctx, time.Now(), op, spantest.Room.Of("general"), spantest.Seq.Int(7))
		s.Finish(nil)
		want := map[string]any{}
		for _, kv := range s.Attributes() {
			want[string(kv.Key)] = kv.Value.AsInterface()
		}
		require.Equal(t, want, r.ended[len(r.ended)-1].attrs, op.Name)
	}
}

// A tracer that is off makes nil spans, which take all calls, and passes trace context through.
func TestATracerThatIsOffPassesTraceContextThrough(t *testing.T) {
	tracer := span.NewTracer(span.Config{Table: spantest.Table, Sampler: sdktrace.AlwaysSample(), Off: true})
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx, s := tracer.Start(span.Extract(t.Context(), parent, "a=1"), spantest.Receive, spantest.Seq.Int(1))
	require.Nil(t, s)
	s.Set(spantest.Seq.Int(1))
	s.AddEvent("event")
	s.Finish(errors.New("no"))
	traceparent, tracestate := s.Propagate(ctx)
	require.Equal(t, parent, traceparent)
	require.Equal(t, "a=1", tracestate)
	require.False(t, s.SpanContext().IsValid())
}
