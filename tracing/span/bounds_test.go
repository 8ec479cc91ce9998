package span_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

func TestTextIsCutAtAKibibyteWithAMark(t *testing.T) {
	const maxText = spantest.MaxText
	bounded := func(s string) string {
		a := spantest.Room.Of(s)
		return a.Text()
	}
	for _, s := range []string{"", "short", strings.Repeat("x", maxText), strings.Repeat("é", maxText/2)} {
		require.Equal(t, s, bounded(s))
	}
	for _, c := range []string{"x", "é", "日", "👋", "\xff", "\x80", "a\x80\x80\x80\x80\x80"} {
		for more := range 8 {
			s := strings.Repeat("y", 1+more) + strings.Repeat(c, maxText)
			got := bounded(s)
			require.LessOrEqual(t, len(got), maxText)
			require.Greater(t, len(got), maxText-8)
			begin, ok := strings.CutSuffix(got, span.CutMark)
			require.True(t, ok)
			require.True(t, strings.HasPrefix(s, begin))
			require.Equal(t, utf8.ValidString(s), utf8.ValidString(got), "and not within a character")
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { spantest.Room.Of("general") }))
}

// A cut text does not keep what it was cut from in memory.
func TestACutTextIsACopy(t *testing.T) {
	const size = 8 << 20
	var kept []span.Attr
	before := spantest.Heap()
	for range 8 {
		kept = append(kept, spantest.Room.Of(strings.Repeat("x", size)))
	}
	require.Less(t, spantest.Heap(), before+size)
	runtime.KeepAlive(kept)
}

func FuzzExtractTakesOnlyValidContext(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")
	f.Add("00-00000000000000000000000000000000-b7ad6b7169203331-01", "")
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", "a=b,c=d")
	f.Fuzz(func(t *testing.T, parent, state string) {
		sc := trace.SpanContextFromContext(span.Extract(context.Background(), parent, state))
		if !sc.IsValid() {
			require.False(t, sc.HasTraceID() && sc.HasSpanID())
			return
		}
		require.True(t, sc.IsRemote())
		parent, state = span.Inject(trace.ContextWithSpanContext(t.Context(), sc))
		again := trace.SpanContextFromContext(span.Extract(context.Background(), parent, state))
		require.Equal(t, sc.TraceID(), again.TraceID())
		require.Equal(t, sc.SpanID(), again.SpanID())
		require.Equal(t, sc.IsSampled(), again.IsSampled())
		require.Equal(t, sc.TraceState().String(), again.TraceState().String())
		require.Len(t, parent, 55)
	})
}
