package live

import (
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// What keeping one more span costs in itself, with memory full; and if a trace took memory of its own rather than that of the one that
// it pushes out.
func BenchmarkBegin(b *testing.B) {
	t := spantest.NewTracer()
	var spans []sdktrace.ReadWriteSpan
	for range 2000 {
		ctx, receive := t.Start(b.Context(), spantest.Receive)
		spans = append(spans, receive)
		for _, op := range []*span.Operation{spantest.Append, spantest.Broadcast, spantest.Deliver} {
			_, s := t.Start(ctx, op)
			spans = append(spans, s)
		}
	}
	for _, recycled := range []bool{true, false} {
		name := "as it is"
		if !recycled {
			name = "in memory of its own"
		}
		b.Run(name, func(b *testing.B) {
			l := newStore(500)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if s := spans[i]; !recycled && i%4 == 0 && l.kept[0].traces == 500 {
					l.evict(&l.kept[0])
					l.OnStart(b.Context(), s)
				} else {
					l.OnStart(b.Context(), s)
				}
				if i++; i == len(spans) {
					i = 0
				}
			}
		})
	}
}

// What one viewer costs each quarter of a second while 625 messages come in it (2,500 a second), unfiltered and filtered.
func BenchmarkViewer(b *testing.B) {
	for name, filter := range map[string]Filter{
		"all":    {Limit: 100},
		"errors": {Limit: 100, Errors: true},
		"room":   {Limit: 100, Room: "elsewhere"},
		"text":   {Limit: 100, Text: "nothing is like this"},
	} {
		b.Run(name, func(b *testing.B) {
			l := newStore(500)
			t := spantest.NewTracer(l)
			for range 700 {
				message(b.Context(), t, spantest.Event.Of("message"), spantest.Recipients.Int(200), spantest.Seq.Int(7), spantest.User.Of("user"), spantest.Connection.Of("abcdef-1"))
			}
			v := l.Watch(filter)
			v.told = true
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				v.clock = 1
				v.Next(now)
			}
		})
	}
}
