package tracing

import (
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// What spans weigh in memory, in bytes: enough to bound it, not exact. Text counts for each span that has it, though many
// share it.
const (
	spanBytes       = int(unsafe.Sizeof(span{}))
	attrBytes       = int(unsafe.Sizeof(attr{}))
	rareBytes       = int(unsafe.Sizeof(rarely{}))
	keyValueBytes   = int(unsafe.Sizeof(attribute.KeyValue{}))
	eventBytes      = int(unsafe.Sizeof(sdktrace.Event{}))
	linkBytes       = int(unsafe.Sizeof(sdktrace.Link{}))
	libraryBytes    = 1 << 10 // a span of the SDK's without attributes
	stateBytes      = 1 << 10 // a tracestate and what it is parsed into
	connectionBytes = 1 << 10 // a connection, which its traces keep
	liveGrowth      = 192     // allowed for what most spans are given by their end
)

// weigh is what s weighs. mu is held, or nobody changes s meanwhile.
func (s *span) weigh() int {
	n := spanBytes + cap(s.attrs)*attrBytes
	for i := range s.attrs {
		n += len(s.attrs[i].text)
	}
	if s.op.linked {
		n += connectionBytes
	}
	if s.state != nil {
		n += stateBytes
	}
	if s.rare != nil {
		n += rareBytes + len(s.rare.status.Description) + weighAttributes(s.rare.foreign) + weighEvents(s.rare.events) + weighLinks(s.rare.links)
	}
	return n
}

// weigh is what a library's span weighs.
func weigh(s sdktrace.ReadOnlySpan) int {
	return libraryBytes + len(s.Name()) + len(s.Status().Description) +
		weighAttributes(s.Attributes()) + weighEvents(s.Events()) + weighLinks(s.Links()) + min(s.SpanContext().TraceState().Len(), 1)*stateBytes
}

func weighAttributes(attrs []attribute.KeyValue) int {
	n := len(attrs) * keyValueBytes
	for i := range attrs {
		switch v := attrs[i].Value; v.Type() {
		case attribute.STRING:
			n += len(v.AsString())
		case attribute.BOOL, attribute.INT64, attribute.FLOAT64:
		default:
			n += len(v.String()) // a list
		}
	}
	return n
}

func weighEvents(events []sdktrace.Event) int {
	n := len(events) * eventBytes
	for i := range events {
		n += len(events[i].Name) + weighAttributes(events[i].Attributes)
	}
	return n
}

func weighLinks(links []sdktrace.Link) int {
	n := len(links) * (linkBytes + stateBytes)
	for i := range links {
		n += weighAttributes(links[i].Attributes)
	}
	return n
}
