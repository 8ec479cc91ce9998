package span

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// What starting and ending a span costs, without what is in fast.go: its attributes in memory of their own (two pieces), and asking the
// sampler; and what the same costs in OpenTelemetry's SDK.
func BenchmarkStart(b *testing.B) {
	table := &Table{Limits: Limits{Text: 1 << 10, Events: 128}}
	room, client, seq := table.Text("room", "room", ""), table.Text("client", "client", ""), table.Number("seq", "seq", "seq")
	op := table.Declare(Operation{Name: "receive", Kind: trace.SpanKindConsumer})
	attrs := []Attr{room.Of("general"), client.Of("ada"), seq.Int(7)}
	tracer := NewTracer(Config{Table: table, Sampler: sdktrace.ParentBased(sdktrace.AlwaysSample())})
	run := func(name string, f func(now time.Time)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			now := time.Now()
			for b.Loop() {
				f(now)
			}
		})
	}
	run("as it is", func(now time.Time) { tracer.StartAt(b.Context(), now, op, attrs...).FinishAt(now, nil) })
	asking := *tracer
	asking.byParent = false
	run("asking the sampler", func(now time.Time) { asking.StartAt(b.Context(), now, op, attrs...).FinishAt(now, nil) })
	run("one piece of memory", func(time.Time) { sink = newSpan(op, len(attrs)); sink.attrs = append(sink.attrs, attrs...) })
	run("two pieces of memory", func(time.Time) { sink = &Span{attrs: make([]Attr, 0, few)}; sink.attrs = append(sink.attrs, attrs...) })
	sdk := sdktrace.NewTracerProvider().Tracer("x")
	run("SDK", func(now time.Time) {
		_, s := sdk.Start(b.Context(), "receive", trace.WithTimestamp(now), trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.String("room", "general"), attribute.String("client", "ada"), attribute.Int("seq", 7)))
		s.End(trace.WithTimestamp(now))
	})
}

// sink keeps what benchmarks make from being optimized away.
var sink *Span
