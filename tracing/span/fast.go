package span

import sdktrace "go.opentelemetry.io/otel/sdk/trace"

// What is in this file is there for speed alone, as BenchmarkStart shows. Per span, newSpan saves one of two allocations, and
// samplesByParent an allocation of 256 bytes and a quarter of the time of starting it.

// newSpan returns a span in one allocation with room for its attributes, which is enough unless the span turns out to have more
// than the spans of its operation mostly have.
func newSpan(op *Operation) *Span {
	if op.Many {
		s := &struct {
			Span
			room [10]Attr
		}{}
		s.attrs = s.room[:0]
		return &s.Span
	}
	s := &struct {
		Span
		room [6]Attr
	}{}
	s.attrs = s.room[:0]
	return &s.Span
}

// samplesByParent reports whether the sampler is OpenTelemetry's default, which samples all spans but those whose parent is not
// sampled: then the sampler need not be asked for each.
func samplesByParent(s sdktrace.Sampler) bool {
	usual := sdktrace.ParentBased(sdktrace.AlwaysSample())
	return s.Description() == usual.Description() || s.Description() == sdktrace.AlwaysRecord(usual).Description()
}
