package span

import sdktrace "go.opentelemetry.io/otel/sdk/trace"

// What is in this file is there for speed alone, as BenchmarkStart shows. Per span, newSpan saves one of two allocations, and
// samplesByParent an allocation of 256 bytes and a quarter of the time of starting it.

// newSpan returns a span in one allocation with room for its attributes, of which it starts with so many. The room is enough unless the
// span turns out to have more than the spans of its operation mostly have.
func newSpan(op *Operation, attrs int) *Span {
	if op.Many || attrs+op.Gains > few {
		s := &struct {
			Span
			room [10]Attr
		}{}
		s.attrs = s.room[:0]
		return &s.Span
	}
	s := &struct {
		Span
		room [few]Attr
	}{}
	s.attrs = s.room[:0]
	return &s.Span
}

// few is how many attributes fit into the spans of most operations.
const few = 6

// samplesByParent reports whether the sampler is OpenTelemetry's default, which samples all spans but those whose parent is not
// sampled: then the sampler need not be asked for each.
func samplesByParent(s sdktrace.Sampler) bool {
	usual := sdktrace.ParentBased(sdktrace.AlwaysSample())
	return s.Description() == usual.Description() || s.Description() == sdktrace.AlwaysRecord(usual).Description()
}
