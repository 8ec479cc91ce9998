package otlp

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/google/go-cmp/cmp"
)

// keeping is an OTLP client that keeps what it is given, as a receiver would read it.
type keeping struct {
	t   *testing.T
	got []*tracepb.ResourceSpans
	err error
}

func (*keeping) Start(context.Context) error { return nil }
func (*keeping) Stop(context.Context) error  { return nil }
func (k *keeping) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	for _, rs := range list {
		wire, err := proto.Marshal(rs)
		require.NoError(k.t, err)
		read := &tracepb.ResourceSpans{}
		require.NoError(k.t, proto.Unmarshal(wire, read))
		require.Empty(k.t, read.ProtoReflect().GetUnknown())
		k.got = append(k.got, read)
	}
	return k.err
}

// What goes over the wire is, field for field, what OpenTelemetry's own exporter sends.
func TestSpansAreWrittenAsTheOpenTelemetryExporterWritesThem(t *testing.T) {
	ours, theirs := &keeping{t: t}, &keeping{t: t}
	res := resource.NewWithAttributes("https://opentelemetry.io/schemas/1.43.0", attribute.String("service.name", "x"), attribute.Int("process.pid", 7))
	export, err := New(t.Context(), ours, res, Limits{Queue: 1000, Batch: 100, Bytes: DefaultLimits.Bytes, Delay: time.Hour, Timeout: time.Second}, func(int) {})
	require.NoError(t, err)
	official, err := otlptrace.New(t.Context(), theirs)
	require.NoError(t, err)
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res),
		sdktrace.WithSpanProcessor(export), sdktrace.WithBatcher(official))

	state, err := trace.ParseTraceState("a=1,b=2")
	require.NoError(t, err)
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
	})
	tracer := provider.Tracer("one", trace.WithInstrumentationVersion("1.2"), trace.WithSchemaURL("https://example.org/1"))
	ctx, parent := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), remote), "parent", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithLinks(trace.Link{SpanContext: remote, Attributes: []attribute.KeyValue{attribute.String("k", "v")}}))
	parent.SetAttributes(attribute.String("text", strings.Repeat("ä", 300)), attribute.Bool("yes", true), attribute.Bool("no", false),
		attribute.Int("zero", 0), attribute.Int("minus", -5), attribute.Float64("pi", 3.14), attribute.String("empty", ""),
		attribute.StringSlice("list", []string{"a", "", "c"}))
	for i := range 130 {
		parent.AddEvent("event", trace.WithAttributes(attribute.Int("i", i)))
	}
	for kind := range trace.SpanKind(6) {
		_, span := provider.Tracer("two").Start(ctx, "child", trace.WithSpanKind(kind))
		span.SetStatus(codes.Ok, "")
		span.End()
	}
	parent.RecordError(errors.New("boom"))
	parent.SetStatus(codes.Error, "boom")
	parent.End()
	require.NoError(t, provider.Shutdown(context.Background()))

	require.Len(t, theirs.got, 1)
	// Ours has a message for each scope, which are of one resource.
	require.Len(t, ours.got, 2)
	whole := ours.got[0]
	require.Empty(t, cmp.Diff(whole.Resource, ours.got[1].Resource, protocmp.Transform()))
	require.Equal(t, whole.SchemaUrl, ours.got[1].SchemaUrl)
	whole.ScopeSpans = append(whole.ScopeSpans, ours.got[1].ScopeSpans...)
	diff := cmp.Diff(theirs.got[0], whole, protocmp.Transform(),
		protocmp.SortRepeated(func(a, b *tracepb.ScopeSpans) bool { return a.Scope.Name < b.Scope.Name }),
		// The official exporter leaves out the state of a link's trace.
		protocmp.IgnoreFields(&tracepb.Span_Link{}, "trace_state"))
	require.Empty(t, diff)
}

func TestSpansThatDoNotFitAreCounted(t *testing.T) {
	client := &keeping{t: t, err: errors.New("no collector")}
	var dropped atomic.Int64
	export, err := New(t.Context(), client, resource.Empty(), Limits{Queue: 10, Batch: 10, Bytes: DefaultLimits.Bytes, Delay: time.Hour, Timeout: time.Second},
		func(n int) { dropped.Add(int64(n)) })
	require.NoError(t, err)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(export))
	for range 50 {
		_, span := provider.Tracer("t").Start(t.Context(), "s")
		span.End()
	}
	require.NoError(t, provider.Shutdown(context.Background()))
	sent := 0
	for _, rs := range client.got {
		for _, ss := range rs.ScopeSpans {
			sent += len(ss.Spans)
		}
	}
	require.NotZero(t, sent)
	require.InDelta(t, 50, dropped.Load(), 0, "all are lost: those that did not fit, and those that could not be sent")
}
