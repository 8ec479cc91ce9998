package live

import (
	"context"
	"fmt"
	"strings"
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

// newStore returns a Store that keeps so many traces of messages, and half as many of others.
func newStore(traces int) *Store {
	nothing := func(sdktrace.ReadOnlySpan) []byte { return []byte("{}") }
	return New(Config{
		Table:  spantest.Table,
		Groups: []Group{{"messages", traces}, {"connections", (traces + 1) / 2}, {"requests", (traces + 1) / 2}},
		Room:   spantest.Room.Name(), Client: spantest.Client.Name(), Event: spantest.Event.Name(),
		Enter: nothing, Exit: nothing, Read: func() Reading { return Reading{} },
	})
}

// message makes the four spans of a message, each with these attributes.
func message(ctx context.Context, t *span.Tracer, attrs ...span.Attr) {
	ctx, receive := t.Start(ctx, spantest.Receive, attrs...)
	_, stored := t.Start(ctx, spantest.Append, attrs...)
	stored.Finish(nil)
	ctx, broadcast := t.Start(ctx, spantest.Broadcast, attrs...)
	_, deliver := t.Start(ctx, spantest.Deliver, attrs...)
	broadcast.Finish(nil)
	receive.Finish(nil)
	deliver.Finish(nil)
}

// requireSizes sees to it that what is noted of the kept traces' sizes is so, and within its bounds.
func requireSizes(t *testing.T, l *Store) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for group := range l.kept {
		list, bytes, spans := &l.kept[group], 0, 0
		for one := list.newest; one != nil; one = one.older {
			sum := 0
			require.Len(t, one.sizes, len(one.spans))
			for i, s := range one.spans {
				sum += int(one.sizes[i])
				require.LessOrEqual(t, span.Size(s), int(one.sizes[i]))
			}
			require.Equal(t, sum, one.bytes)
			bytes += sum
			spans += len(one.spans)
		}
		require.Equal(t, bytes, list.bytes)
		require.Equal(t, spans, list.spans)
		require.LessOrEqual(t, bytes, list.mostBytes())
	}
}

// The newest traces have a bound in bytes, whatever is in their spans from the start or is put there later, in many traces
// or in one.
func TestLiveTracesAreBoundedInBytes(t *testing.T) {
	long := strings.Repeat("x", spantest.MaxText)
	fill := func(s trace.Span, n int) {
		for i := range n {
			s.AddEvent("event", trace.WithAttributes(attribute.String(fmt.Sprint(i), strings.Clone(long))))
		}
		s.SetStatus(codes.Error, long)
		s.End()
	}
	one := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: 1, Remote: true})
	for name, make := range map[string]func(t *testing.T, own *span.Tracer, libraries trace.Tracer, i int){
		"long ids": func(t *testing.T, own *span.Tracer, _ trace.Tracer, i int) {
			own.StartAt(t.Context(), time.Now(), spantest.Create, spantest.Room.Of(long+fmt.Sprint(i)), spantest.Client.Of(long+fmt.Sprint(i))).Finish(nil)
		},
		"events": func(t *testing.T, own *span.Tracer, _ trace.Tracer, _ int) {
			fill(own.StartAt(t.Context(), time.Now(), spantest.Join), 20)
		},
		"one trace": func(t *testing.T, own *span.Tracer, _ trace.Tracer, _ int) {
			fill(own.StartAt(trace.ContextWithSpanContext(t.Context(), one), time.Now(), spantest.Receive), 20)
		},
		"of a library": func(t *testing.T, _ *span.Tracer, libraries trace.Tracer, i int) {
			_, s := libraries.Start(t.Context(), "GET", trace.WithAttributes(attribute.String("user_agent.original", long+fmt.Sprint(i))))
			fill(s, i%20)
		},
		"that were open long": func(t *testing.T, own *span.Tracer, _ trace.Tracer, i int) {
			_, s := own.Start(t.Context(), spantest.Create)
			own.StartAt(trace.ContextWithSpan(t.Context(), s), time.Now(), spantest.Append).Finish(nil)
			t.Cleanup(func() { fill(s, i%50) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, most := range []int{1, 500} {
				l := newStore(most)
				own := spantest.NewTracer(l)
				libraries := span.Bounded(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(l)), spantest.MaxText).Tracer("http")
				before := spantest.Heap()
				t.Cleanup(func() { requireSizes(t, l) }) // after those of make
				for i := range 1000 {
					make(t, own, libraries, i)
				}
				requireSizes(t, l)
				counts := l.Counts()
				require.Positive(t, counts.DroppedSpans)
				require.Positive(t, counts.Spans)
				if name != "that were open long" { // which the test holds
					require.Less(t, spantest.Heap(), before+2*(4+2+2)<<20)
				}
			}
		})
	}
}

// What goes by is what the metrics and the view are made for: it must fit, as it did before there was a bound in bytes.
func TestOrdinaryTracesAreNotLetGoOfForTheirWeight(t *testing.T) {
	l := newStore(100)
	own := spantest.NewTracer(l)
	for i := range 100 {
		_, connect := own.Start(t.Context(), spantest.Connect, spantest.Room.Of("general"), spantest.Client.Of("ada"))
		connect.Finish(nil)
		ctx := span.ContextWithConnection(t.Context(), spantest.NewConnection(fmt.Sprint("abcdef-", i), connect.SpanContext()))
		message(ctx, own, spantest.Room.Of("general"), spantest.Client.Of("ada"), spantest.Event.Of("message"), spantest.Size.Int(5))
	}
	counts := l.Counts()
	require.Equal(t, 150, counts.Traces)
	require.Equal(t, 450, counts.Spans)
	requireSizes(t, l)
	require.Less(t, l.kept[0].bytes, 400<<10)
}
