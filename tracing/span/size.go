package span

import (
	"unsafe"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// What spans take of memory, in bytes: enough to bound it, not exact. Text counts for each span that has it, though many
// spans share it.
const (
	spanBytes       = int(unsafe.Sizeof(Span{}))
	attrBytes       = int(unsafe.Sizeof(Attr{}))
	rareBytes       = int(unsafe.Sizeof(rarely{}))
	keyValueBytes   = int(unsafe.Sizeof(attribute.KeyValue{}))
	eventBytes      = int(unsafe.Sizeof(sdktrace.Event{}))
	linkBytes       = int(unsafe.Sizeof(sdktrace.Link{}))
	libraryBytes    = 1 << 10 // a span of the SDK's without attributes
	stateBytes      = 1 << 10 // a trace state and what it is parsed into
	connectionBytes = 1 << 10 // a connection, which its spans keep in memory
)

// Size returns about how many bytes of memory s takes. If s is a Span, it is called within Began and Ended only.
func Size(s sdktrace.ReadOnlySpan) int {
	if own, ok := s.(*Span); ok {
		return own.bytes()
	}
	return libraryBytes + len(s.Name()) + len(s.Status().Description) + attributesSize(s.Attributes()) +
		eventsSize(s.Events()) + linksSize(s.Links()) + min(s.SpanContext().TraceState().Len(), 1)*stateBytes
}

// bytes is Size. mu is held, or nobody changes s meanwhile.
func (s *Span) bytes() int {
	n := spanBytes + cap(s.attrs)*attrBytes
	for i := range s.attrs {
		n += len(s.attrs[i].text)
	}
	if s.op.Linked {
		n += connectionBytes
	}
	if s.state != nil {
		n += stateBytes
	}
	if s.rare != nil {
		n += rareBytes + len(s.rare.status.Description) + attributesSize(s.rare.foreign) + eventsSize(s.rare.events) + linksSize(s.rare.links)
	}
	return n
}

func attributesSize(attrs []attribute.KeyValue) int {
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

func eventsSize(events []sdktrace.Event) int {
	n := len(events) * eventBytes
	for i := range events {
		n += len(events[i].Name) + attributesSize(events[i].Attributes)
	}
	return n
}

func linksSize(links []sdktrace.Link) int {
	n := len(links) * (linkBytes + stateBytes)
	for i := range links {
		n += attributesSize(links[i].Attributes)
	}
	return n
}
