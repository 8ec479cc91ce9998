package tracing

import (
	"math"
	"time"

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

// appendScopeSpans appends a ScopeSpans with spans that have been encoded before.
func appendScopeSpans(b []byte, scope instrumentation.Scope, spans []byte) []byte {
	var inner []byte
	inner = appendString(inner, 1, scope.Name)
	inner = appendString(inner, 2, scope.Version)
	head := protowire.AppendTag(nil, 1, protowire.BytesType)
	head = protowire.AppendBytes(head, inner)
	tail := appendString(nil, 3, scope.SchemaURL)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(head)+len(spans)+len(tail)))
	b = append(b, head...)
	b = append(b, spans...)
	return append(b, tail...)
}

// appendSpan appends s as a Span in a ScopeSpans.
func appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	b, at := beginMessage(b, 2)
	sc, parent := s.SpanContext(), s.Parent()
	tid, sid := sc.TraceID(), sc.SpanID()
	b = appendBytes(b, 1, tid[:])
	b = appendBytes(b, 2, sid[:])
	if sc.TraceState().Len() > 0 {
		b = appendString(b, 3, sc.TraceState().String())
	}
	if psid := parent.SpanID(); psid.IsValid() {
		b = appendBytes(b, 4, psid[:])
	}
	b = appendString(b, 5, s.Name())
	b = appendVarint(b, 6, spanKind(s.SpanKind()))
	b = appendTime(b, 7, s.StartTime())
	b = appendTime(b, 8, s.EndTime())
	for _, kv := range ownAttributes(s) {
		b = appendKeyValue(b, attributesField, kv)
	}
	if ours, ok := s.(*span); ok {
		b = append(b, ours.op.wire...)
		if ours.connection != nil {
			b = append(b, ours.connection.wire...)
		}
	}
	b = appendVarint(b, 10, uint64(s.DroppedAttributes()))
	for _, e := range s.Events() {
		var in int
		b, in = beginMessage(b, 11)
		b = appendTime(b, 1, e.Time)
		b = appendString(b, 2, e.Name)
		for _, kv := range e.Attributes {
			b = appendKeyValue(b, 3, kv)
		}
		b = appendVarint(b, 4, uint64(e.DroppedAttributeCount))
		b = endMessage(b, in)
	}
	b = appendVarint(b, 12, uint64(s.DroppedEvents()))
	for _, l := range s.Links() {
		var in int
		b, in = beginMessage(b, 13)
		tid, sid := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		b = appendBytes(b, 1, tid[:])
		b = appendBytes(b, 2, sid[:])
		if l.SpanContext.TraceState().Len() > 0 {
			b = appendString(b, 3, l.SpanContext.TraceState().String())
		}
		for _, kv := range l.Attributes {
			b = appendKeyValue(b, 4, kv)
		}
		b = appendVarint(b, 5, uint64(l.DroppedAttributeCount))
		b = appendFlags(b, 6, l.SpanContext.TraceFlags(), l.SpanContext)
		b = endMessage(b, in)
	}
	b = appendVarint(b, 14, uint64(s.DroppedLinks()))
	if st := s.Status(); st.Code != codes.Unset {
		var in int
		b, in = beginMessage(b, 15)
		b = appendString(b, 2, st.Description)
		code := uint64(1)
		if st.Code == codes.Error {
			code = 2
		}
		b = appendVarint(b, 3, code)
		b = endMessage(b, in)
	}
	b = appendFlags(b, 16, sc.TraceFlags(), parent)
	return endMessage(b, at)
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

// appendFlags appends the W3C flags, and whether the span that parent names is of another process (SpanFlags).
func appendFlags(b []byte, field protowire.Number, flags trace.TraceFlags, parent trace.SpanContext) []byte {
	v := uint32(flags) | 0x100
	if parent.IsRemote() {
		v |= 0x200
	}
	b = protowire.AppendTag(b, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, v)
}

func appendKeyValue(b []byte, field protowire.Number, kv attribute.KeyValue) []byte {
	b, at := beginMessage(b, field)
	b = appendString(b, 1, string(kv.Key))
	b, in := beginMessage(b, 2)
	b = appendValue(b, kv.Value)
	return endMessage(endMessage(b, in), at)
}

// appendValue appends an AnyValue's content. Empty strings and zeros are written, as the field says which type it is.
func appendValue(b []byte, v attribute.Value) []byte {
	switch v.Type() {
	case attribute.STRING:
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		return protowire.AppendString(b, v.AsString())
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
		b, at := beginMessage(b, 5)
		for _, s := range v.AsStringSlice() {
			var in int
			b, in = beginMessage(b, 1)
			b = protowire.AppendTag(b, 1, protowire.BytesType)
			b = protowire.AppendString(b, s)
			b = endMessage(b, in)
		}
		return endMessage(b, at)
	default:
		// Lists of numbers: nothing here has any; readers get them as text.
		b = protowire.AppendTag(b, 1, protowire.BytesType)
		return protowire.AppendString(b, v.String())
	}
}

// beginMessage begins a field that is a message, leaving one byte for its length; at is where its content begins.
func beginMessage(b []byte, field protowire.Number) (out []byte, at int) {
	b = append(protowire.AppendTag(b, field, protowire.BytesType), 0)
	return b, len(b)
}

// endMessage writes the length of the message whose content began at at, moving the content if that takes more bytes.
func endMessage(b []byte, at int) []byte {
	n := len(b) - at
	size := protowire.SizeVarint(uint64(n))
	if size > 1 {
		b = append(b, "\x00\x00\x00\x00\x00\x00\x00\x00\x00"[:size-1]...)
		copy(b[at+size-1:], b[at:at+n])
	}
	protowire.AppendVarint(b[:at-1], uint64(n))
	return b
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func appendBytes(b []byte, field protowire.Number, p []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), p)
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
