package otlp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// stuck is an OTLP client whose requests take until they are let go on. It notes how large they are.
type stuck struct {
	on chan struct{}

	mu    sync.Mutex
	sizes []int
	spans int
}

func (*stuck) Start(context.Context) error { return nil }
func (*stuck) Stop(context.Context) error  { return nil }
func (s *stuck) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	<-s.on
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for _, rs := range list {
		wire, err := proto.Marshal(rs)
		if err != nil {
			return err
		}
		size += len(wire)
		read := &tracepb.ResourceSpans{}
		if err := proto.Unmarshal(wire, read); err != nil {
			return err
		}
		s.spans += len(read.ScopeSpans[0].Spans)
	}
	s.sizes = append(s.sizes, size)
	return nil
}

// What waits to be exported has a bound in bytes, and so has what is sent at once; what does not fit is counted.
func TestExportIsBoundedInBytes(t *testing.T) {
	const maxExport = 16 << 20
	client := &stuck{on: make(chan struct{})}
	var dropped atomic.Int64
	export, err := New(t.Context(), client, resource.Empty(),
		Limits{Queue: 1 << 20, Batch: 1 << 20, Bytes: maxExport, Delay: time.Hour, Timeout: time.Minute}, func(n int) { dropped.Add(int64(n)) })
	require.NoError(t, err)
	tracer := spantest.NewTracer(export)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(export))
	long := strings.Repeat("x", spantest.MaxText)
	const each = 8000
	for range each {
		tracer.StartAt(t.Context(), time.Now(), spantest.Create, spantest.Room.Of(long)).Finish(nil)
		_, s := provider.Tracer("other").Start(t.Context(), long)
		s.End()
	}
	export.mu.Lock()
	require.LessOrEqual(t, export.bytes, maxExport)
	require.Greater(t, export.bytes, maxExport-8<<10, "as much as fits waits")
	export.mu.Unlock()

	close(client.on)
	require.NoError(t, export.Shutdown(context.Background()))
	require.NoError(t, provider.Shutdown(context.Background()))
	require.Greater(t, len(client.sizes), 3)
	for _, size := range client.sizes {
		require.Less(t, size, 4<<20)
	}
	require.EqualValues(t, 2*each, client.spans+int(dropped.Load()), "sent or counted")
	require.Zero(t, export.bytes)
	require.Zero(t, export.waiting)
}

// The spans of operations are encoded in a way of their own: they must be what they are for any SpanProcessor.
func TestOperationsAreEncodedAsOtherSpansAre(t *testing.T) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	export, err := New(t.Context(), discarding{}, resource.Empty(), DefaultLimits, func(int) {})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, export.Shutdown(context.Background())) })
	many := make([]span.Attr, 0, 14)
	for _, k := range []*span.Key{spantest.Room, spantest.Client, spantest.Message, spantest.Handle, spantest.User, spantest.Event} {
		many = append(many, k.Of("value of "+string(k.Name())))
	}
	many = append(many, spantest.Seq.Int(1), spantest.Size.Int(2), spantest.Count.Int(3), spantest.Recipients.Int(4))
	for name, attrs := range map[string][]span.Attr{
		"none":   nil,
		"plain":  {spantest.Room.Of("general"), spantest.Seq.Int64(-7), spantest.Count.Int(0)},
		"quoted": {spantest.Room.Of("a \"room\" \\ é 👋 \x00\xff"), spantest.Size.Int(1 << 40)},
		"long":   {spantest.Handle.Of(strings.Repeat("x", 600)), spantest.Seq.Int(1)},
		"empty":  {spantest.Handle.Of("")},
		"many":   many,
	} {
		for _, failure := range []error{nil, errors.New("it \"broke\"")} {
			for _, op := range []*span.Operation{spantest.Receive, spantest.Append, spantest.Join} {
				for _, event := range []bool{false, true} {
					t.Run(name, func(t *testing.T) {
						ctx := span.ContextWithConnection(trace.ContextWithRemoteSpanContext(t.Context(), remote), spantest.NewConnection("abcdef-17", remote))
						s := spantest.NewTracer().StartAt(ctx, time.Now(), op, attrs...)
						if event {
							s.AddEvent("slow", trace.WithTimestamp(time.UnixMilli(5)))
						}
						s.FinishAt(s.StartTime().Add(1234567*time.Nanosecond), failure, spantest.Written.Int(3))
						ours, theirs := decoded(t, export.appendOperation(nil, s)), decoded(t, appendSpan(nil, s))
						require.Empty(t, cmp.Diff(theirs, ours, protocmp.Transform(),
							protocmp.SortRepeated(func(a, b *commonpb.KeyValue) bool { return a.Key < b.Key })))
					})
				}
			}
		}
	}
}

func decoded(t *testing.T, wire []byte) *tracepb.ScopeSpans {
	t.Helper()
	spans := &tracepb.ScopeSpans{}
	require.NoError(t, proto.Unmarshal(wire, spans))
	require.Len(t, spans.Spans, 1)
	return spans
}

// discarding is an OTLP client that keeps nothing.
type discarding struct{}

func (discarding) Start(context.Context) error                                  { return nil }
func (discarding) Stop(context.Context) error                                   { return nil }
func (discarding) UploadTraces(context.Context, []*tracepb.ResourceSpans) error { return nil }
