package otlp

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

	"github.com/traceroom/traceroom/tracing/span"
)

// This file writes spans in OTLP's wire format (opentelemetry-proto, trace/v1/trace.proto and common/v1/common.proto)
// without building protobuf structures first. Literal numbers are the numbers of fields there.

// appendResource appends the fields of a ResourceSpans except its spans.
func appendResource(b []byte, r *resource.Resource) []byte {
	var inner []byte
	for _, kv := range r.Attributes() {
		inner = appendKeyValue(inner, 1, kv)
	}
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, inner)
	return appendString(b, 3, r.SchemaURL())
}

// beginScopeSpans begins a ScopeSpans, to which spans can be appended. Its content begins at begin; endMessage ends it.
func beginScopeSpans(b []byte, scope instrumentation.Scope) (out []byte, begin int) {
	b, begin = beginMessage(b, 2, long)
	b, at := beginMessage(b, 1, short)
	b = appendString(b, 1, scope.Name)
	b = appendString(b, 2, scope.Version)
	b = endMessage(b, at, short)
	return appendString(b, 3, scope.SchemaURL), begin
}

// attributesField is the number of a Span's attributes.
const attributesField = 9

// appendSpan appends s as a Span in a ScopeSpans.
func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	b, at := beginMessage(b, 2, medium)
	sc, parent := s.SpanContext(), s.Parent()
	b = appendIdentity(b, sc.TraceID(), sc.SpanID(), parent.SpanID(), sc.TraceState())
	b = appendString(b, 5, s.Name())
	b = appendVarint(b, 6, spanKind(s.SpanKind()))
	b = appendTime(b, 7, s.StartTime())
	b = appendTime(b, 8, span.EndOf(s))
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

func appendIdentity(b []byte, id trace.TraceID, own, parent trace.SpanID, state trace.TraceState) []byte {
	b = appendShort(b, 1, id[:])
	b = appendShort(b, 2, own[:])
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
		b = appendLink(b, links[i].SpanContext, links[i].Attributes, links[i].DroppedAttributeCount)
	}
	return b
}

func appendLink(b []byte, to trace.SpanContext, attrs []attribute.KeyValue, dropped int) []byte {
	b, in := beginMessage(b, 13, short)
	b = appendIdentity(b, to.TraceID(), to.SpanID(), trace.SpanID{}, to.TraceState())
	for _, kv := range attrs {
		b = appendKeyValue(b, 4, kv)
	}
	b = appendVarint(b, 5, uint64(dropped))
	b = appendFlags(b, 6, to.TraceFlags(), to.IsRemote())
	return endMessage(b, in, short)
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

// spanKind returns the number that k has in Span.SpanKind.
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

// appendFlags appends the W3C flags, and whether the parent or the linked span is of another process (SpanFlags).
func appendFlags(b []byte, field protowire.Number, flags trace.TraceFlags, remote bool) []byte {
	v := uint32(flags) | 0x100
	if remote {
		v |= 0x200
	}
	b = protowire.AppendTag(b, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, v)
}

func appendKeyValue(b []byte, field protowire.Number, kv attribute.KeyValue) []byte {
	b, at := beginMessage(b, field, short)
	b = appendString(b, 1, string(kv.Key))
	b, in := beginMessage(b, 2, short)
	b = appendValue(b, kv.Value)
	return endMessage(endMessage(b, in, short), at, short)
}

// appendValue appends the content of an AnyValue. Empty strings and zeros are written too: the field tells the type.
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
		// A list of numbers, which no known library has: as text.
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		return protowire.AppendString(b, valid(v.String()))
	}
}

// How many bytes are left for the length of a message, by the length that such messages mostly have. A varint may take more
// bytes than it needs.
const (
	short  = 1 // less than 128 bytes
	medium = 2
	long   = 5
)

// zeros is as long as the longest varint. It holds the place of a length until that is known.
const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// beginMessage begins a field that is a message, with size bytes left for its length. Its content begins at at.
func beginMessage(b []byte, field protowire.Number, size int) (out []byte, at int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), zeros[:size]...)
	return b, len(b)
}

// endMessage writes the length of the message whose content began at at. It moves the content if size bytes are too few.
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

// valid returns s with U+FFFD for what is not UTF-8. Clients may put anything into a path, and a receiver refuses a whole request
// if any text in it is not UTF-8.
func valid(s string) string {
	if utf8.ValidString(s) { // faster to find out than ToValidUTF8 is
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// appendShort appends a field with a number below 16 and fewer than 128 bytes: tag and length take a byte each.
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
