package tracing

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

// This file writes spans in OTLP's wire format (opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto)
// without building protobuf structures first. Numbers below are the fields' numbers there.

// appendResource appends a ResourceSpans' fields but for its spans.
func appendResource(b []byte, r *resource.Resource) []byte {
	var inner []byte
	for _, kv := range r.Attributes() {
		inner = appendKeyValue(inner, 1, kv)
	}
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, inner)
	return appendString(b, 3, r.SchemaURL())
}

// beginScopeSpans appends a ScopeSpans to which spans may be appended; begin is where its content begins.
func beginScopeSpans(b []byte, scope instrumentation.Scope) (out []byte, begin int) {
	b, begin = beginMessage(b, 2, long)
	b, at := beginMessage(b, 1, short)
	b = appendString(b, 1, scope.Name)
	b = appendString(b, 2, scope.Version)
	b = endMessage(b, at, short)
	return appendString(b, 3, scope.SchemaURL), begin
}

// appendSpan appends s as a Span in a ScopeSpans.
func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	b, at := beginMessage(b, 2, medium)
	sc, parent := s.SpanContext(), s.Parent()
	b = appendIdentity(b, sc.TraceID(), sc.SpanID(), parent.SpanID(), sc.TraceState())
	b = appendString(b, 5, s.Name())
	b = appendVarint(b, 6, spanKind(s.SpanKind()))
	b = appendTime(b, 7, s.StartTime())
	b = appendTime(b, 8, endOf(s))
	for _, kv := range s.Attributes() {
		b = appendKeyValue(b, attributesField, kv)
	}
	b = appendVarint(b, 10, uint64(s.DroppedAttributes()))
	b = appendEvents(b, s.Events(), s.DroppedEvents())
	b = appendLinks(b, s.Links())
	b = appendVarint(b, 14, uint64(s.DroppedLinks()))
	b = appendStatus(b, s.Status())
	b = appendFlags(b, 16, sc.TraceFlags(), parent.IsRemote())
	return endMessage(b, at, medium)
}

// appendOperation is appendSpan for the span of an operation, which nobody changes meanwhile.
func appendOperation(b []byte, s *span) []byte {
	b, at := beginMessage(b, 2, medium)
	b = appendIdentity(b, s.trace, s.id, s.parent, s.traceState())
	b = append(b, s.op.wire...)
	b = appendTime(b, 7, s.start)
	b = appendTime(b, 8, s.start.Add(s.took))
	for i := range s.attrs {
		b = appendAttr(b, &s.attrs[i])
	}
	if s.connection != nil {
		b = append(b, s.connection.wire...)
		b = append(b, s.connection.shared.wire[s.op.shares]...)
	}
	if s.rare != nil {
		for _, kv := range s.rare.foreign {
			b = appendKeyValue(b, attributesField, kv)
		}
		b = appendEvents(b, s.rare.events, s.rare.dropped)
		b = appendStatus(b, s.rare.status)
	}
	b = appendLinks(b, s.links())
	b = appendFlags(b, 16, s.flags, s.remote)
	return endMessage(b, at, medium)
}

// wireOperation is what appendOperation writes of op for every span.
func wireOperation(op *operation) []byte {
	b := appendString(nil, 5, op.span)
	b = appendVarint(b, 6, spanKind(op.kind))
	return append(b, wireAttributes(op.attrs)...)
}

func appendIdentity(b []byte, id trace.TraceID, span, parent trace.SpanID, state trace.TraceState) []byte {
	b = appendShort(b, 1, id[:])
	b = appendShort(b, 2, span[:])
	if state.Len() > 0 {
		b = appendString(b, 3, state.String())
	}
	if parent.IsValid() {
		b = appendShort(b, 4, parent[:])
	}
	return b
}

func appendEvents(b []byte, events []sdktrace.Event, dropped int) []byte {
	for _, e := range events {
		var in int
		b, in = beginMessage(b, 11, short)
		b = appendTime(b, 1, e.Time)
		b = appendString(b, 2, e.Name)
		for _, kv := range e.Attributes {
			b = appendKeyValue(b, 3, kv)
		}
		b = appendVarint(b, 4, uint64(e.DroppedAttributeCount))
		b = endMessage(b, in, short)
	}
	return appendVarint(b, 12, uint64(dropped))
}

func appendLinks(b []byte, links []sdktrace.Link) []byte {
	for i := range links {
		l := &links[i]
		var in int
		b, in = beginMessage(b, 13, short)
		b = appendIdentity(b, l.SpanContext.TraceID(), l.SpanContext.SpanID(), trace.SpanID{}, l.SpanContext.TraceState())
		for _, kv := range l.Attributes {
			b = appendKeyValue(b, 4, kv)
		}
		b = appendVarint(b, 5, uint64(l.DroppedAttributeCount))
		b = appendFlags(b, 6, l.SpanContext.TraceFlags(), l.SpanContext.IsRemote())
		b = endMessage(b, in, short)
	}
	return b
}

func appendStatus(b []byte, st sdktrace.Status) []byte {
	if st.Code == codes.Unset {
		return b
	}
	b, in := beginMessage(b, 15, short)
	b = appendString(b, 2, st.Description)
	code := uint64(1)
	if st.Code == codes.Error {
		code = 2
	}
	return endMessage(appendVarint(b, 3, code), in, short)
}

// attributesField is the number of a span's attributes.
const attributesField = 9

// wireAttributes is attributes that many spans share, as they are written in each.
func wireAttributes(attrs []attribute.KeyValue) []byte {
	var b []byte
	for _, kv := range attrs {
		b = appendKeyValue(b, attributesField, kv)
	}
	return b
}

// spanKind is the number of Span.SpanKind.
func spanKind(k trace.SpanKind) uint64 {
	switch k {
	case trace.SpanKindInternal:
		return 1
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	case trace.SpanKindProducer:
		return 4
	case trace.SpanKindConsumer:
		return 5
	default:
		return 0
	}
}

// appendFlags appends the W3C flags, and whether the parent, or the span that is linked to, is of another process
// (SpanFlags).
func appendFlags(b []byte, field protowire.Number, flags trace.TraceFlags, remote bool) []byte {
	v := uint32(flags) | 0x100
	if remote {
		v |= 0x200
	}
	b = protowire.AppendTag(b, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, v)
}

// appendAttr is appendKeyValue for an attribute of an operation. The lengths of what is nested are known before it is
// written.
func appendAttr(b []byte, a *attr) []byte {
	b = append(b, attributesField<<3|byte(protowire.BytesType))
	if a.key.number {
		b = beginAttr(b, a.key, 1+protowire.SizeVarint(uint64(a.number)))
		b = append(b, 3<<3|byte(protowire.VarintType))
		return protowire.AppendVarint(b, uint64(a.number))
	}
	text := valid(a.text)
	b = beginAttr(b, a.key, 1+protowire.SizeBytes(len(text)))
	b = append(b, 1<<3|byte(protowire.BytesType))
	return protowire.AppendString(b, text)
}

// beginAttr begins a KeyValue with its key, and its value of this length.
func beginAttr(b []byte, k *key, value int) []byte {
	if n := len(k.wire) + 2 + value; n < 1<<7 { // nearly always
		b = append(b, byte(n))
		b = append(b, k.wire...)
		return append(b, 2<<3|byte(protowire.BytesType), byte(value))
	}
	b = protowire.AppendVarint(b, uint64(len(k.wire)+1+protowire.SizeBytes(value)))
	b = append(b, k.wire...)
	b = append(b, 2<<3|byte(protowire.BytesType))
	return protowire.AppendVarint(b, uint64(value))
}

func appendKeyValue(b []byte, field protowire.Number, kv attribute.KeyValue) []byte {
	b, at := beginMessage(b, field, short)
	b = appendString(b, 1, string(kv.Key))
	b, in := beginMessage(b, 2, short)
	b = appendValue(b, kv.Value)
	return endMessage(endMessage(b, in, short), at, short)
}

// appendValue appends an AnyValue's content. Empty strings and zeros are written, as the field says which type it is.
func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.STRING:
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		return protowire.AppendString(b, valid(v.AsString()))
	case attribute.BOOL:
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(v.AsBool()))
	case attribute.INT64:
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		return protowire.AppendVarint(b, uint64(v.AsInt64()))
	case attribute.FLOAT64:
		b = protowire.AppendTag(b, 4, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, math.Float64bits(v.AsFloat64()))
	case attribute.STRINGSLICE:
		b, at := beginMessage(b, 5, short)
		for _, s := range v.AsStringSlice() {
			var in int
			b, in = beginMessage(b, 1, short)
			b = protowire.AppendTag(b, 1, protowire.BytesType)
			b = protowire.AppendString(b, valid(s))
			b = endMessage(b, in, short)
		}
		return endMessage(b, at, short)
	default:
		// Lists of numbers: nothing here has any; readers get them as text.
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		return protowire.AppendString(b, valid(v.String()))
	}
}

// The bytes that are kept for a message's length, by what the message mostly takes. A varint may be longer than it need be.
const (
	short  = 1 // less than 128 bytes
	medium = 2
	long   = 5
)

// zeros is as many as the longest varint has bytes: they keep the place of a length.
const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// beginMessage begins a field that is a message, leaving size bytes for its length; at is where its content begins.
func beginMessage(b []byte, field protowire.Number, size int) (out []byte, at int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), zeros[:size]...)
	return b, len(b)
}

// endMessage writes the length of the message whose content began at at, moving the content if that takes more than size bytes.
func endMessage(b []byte, at, size int) []byte {
	n := len(b) - at
	length := b[at-size : at]
	if more := protowire.SizeVarint(uint64(n)) - size; more > 0 {
		b = append(b, zeros[:more]...)
		copy(b[at+more:], b[at:at+n])
		length = b[at-size : at+more]
	}
	for i := range length {
		length[i] = byte(n>>(7*i)) | 0x80
	}
	length[len(length)-1] &= 0x7f
	return b
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), valid(s))
}

// valid is s with U+FFFD for what is not UTF-8: a receiver refuses all spans of a request in which any text is not, and
// clients may put anything into a path.
func valid(s string) string {
	if utf8.ValidString(s) { // which is quicker to find out
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// appendShort appends a field below 16, of less than 128 bytes: tag and length are a byte each.
func appendShort(b []byte, field byte, p []byte) []byte {
	b = append(b, field<<3|byte(protowire.BytesType), byte(len(p)))
	return append(b, p...)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendTime(b []byte, field protowire.Number, t time.Time) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(max(0, t.UnixNano())))
}
