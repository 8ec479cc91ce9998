package otlp

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

func benchmarked(b *testing.B) (*Exporter, *span.Span) {
	b.Helper()
	e, err := New(b.Context(), discarding{}, resource.Empty(), Limits{Queue: 1 << 20, Batch: 2048, Bytes: 16 << 20, Delay: time.Hour, Timeout: time.Second}, func(int) {})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Shutdown(context.Background())) })
	to := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	ctx := span.ContextWithConnection(b.Context(), spantest.NewConnection("abcdef-17", to))
	s := spantest.NewTracer().StartAt(ctx, time.Now(), spantest.Receive, spantest.Room.Of("general"), spantest.Client.Of("ada"), spantest.Event.Of("message"), spantest.Size.Int(64))
	s.Finish(nil)
	return e, s
}

// What it costs to encode a span, and through the interface of the SDK's spans.
func BenchmarkAppend(b *testing.B) {
	e, s := benchmarked(b)
	buf := make([]byte, 0, 4096)
	b.Run("as it is", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.appendOperation(buf, s)
		}
	})
	b.Run("as the SDK's", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			appendSpan(buf, s)
		}
	})
}

// What it costs to export a batch of spans, and if each batch takes memory of its own.
func BenchmarkExporter(b *testing.B) {
	for _, spare := range []bool{true, false} {
		name := "as it is"
		if !spare {
			name = "without spare memory"
		}
		b.Run(name, func(b *testing.B) {
			e, s := benchmarked(b)
			b.ReportAllocs()
			for b.Loop() {
				for range 2048 {
					e.Ended(s)
				}
				if err := e.ForceFlush(b.Context()); err != nil {
					b.Fatal(err)
				}
				if !spare {
					e.mu.Lock()
					e.spare, e.filling = nil, &batch{}
					e.mu.Unlock()
				}
			}
		})
	}
}
