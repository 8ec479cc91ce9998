package otlp

import (
	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/traceroom/traceroom/tracing/span"
)

// This file is there for speed alone. appendOperation writes what appendSpan does, from a span's own form instead of the SDK's:
// a span takes 0.3 µs and no allocation, instead of 4 µs and 1.4 KiB (BenchmarkAppend). A batch that has been sent leaves its
// memory to another, which saves 2 KiB a span (BenchmarkExporter).

// form is all that decides of what spans have in common.
type form struct {
	op   *span.Operation
	kind *span.ConnectionKind
}

// wireForm is what spans have in common, encoded.
type wireForm struct {
	operation  []byte // name, kind and the operation's attributes
	connection []byte // the attributes of the connection's kind
}

// formOf returns the encoded form of s. There are as many as there are operations, or a few more. mu is held.
func (e *Exporter) formOf(s *span.Span) wireForm {
	f := form{op: s.Operation()}
	if c := s.Connection(); c != nil {
		f.kind = c.Kind()
	}
	w, ok := e.forms[f]
	if !ok {
		w.operation = appendString(nil, 5, f.op.Name)
		w.operation = appendVarint(w.operation, 6, spanKind(f.op.Kind))
		w.operation = appendAttributes(w.operation, f.op.Attrs)
		w.connection = appendAttributes(nil, f.kind.Shared(f.op))
		e.forms[f] = w
	}
	return w
}

func appendAttributes(b []byte, attrs []attribute.KeyValue) []byte {
	for _, kv := range attrs {
		b = appendKeyValue(b, attributesField, kv)
	}
	return b
}

// appendOperation is appendSpan for the span of an operation that has ended. mu is held.
func (e *Exporter) appendOperation(b []byte, s *span.Span) []byte {
	b, at := beginMessage(b, 2, medium)
	b = appendIdentity(b, s.TraceID(), s.SpanID(), s.ParentID(), s.TraceState())
	f := e.formOf(s)
	b = append(b, f.operation...)
	b = appendTime(b, 7, s.StartTime())
	b = appendTime(b, 8, s.StartTime().Add(s.Duration()))
	attrs := s.Attrs()
	for i := range attrs {
		b = appendAttr(b, &attrs[i])
	}
	if c := s.Connection(); c != nil {
		id := c.ID()
		b = appendAttr(b, &id)
		b = append(b, f.connection...)
	}
	if s.HasMore() {
		b = appendAttributes(b, s.Foreign())
		b = appendEvents(b, s.Events(), s.DroppedEvents())
		b = appendStatus(b, s.Status())
		b = appendLinks(b, s.Links())
	} else if to, ok := s.Link(); ok {
		b = appendLink(b, to, nil, 0)
	}
	b = appendFlags(b, 16, s.TraceFlags(), s.HasRemoteParent())
	return endMessage(b, at, medium)
}

// appendAttr is appendKeyValue for an attribute in a span's own form: the lengths of what is nested are known before it is
// written.
func appendAttr(b []byte, a *span.Attr) []byte {
	b = append(b, attributesField<<3|byte(protowire.BytesType))
	k := a.Key()
	if k.IsNumber() {
		n := uint64(a.Int64())
		b = beginAttr(b, string(k.Name()), 1+protowire.SizeVarint(n))
		b = append(b, 3<<3|byte(protowire.VarintType))
		return protowire.AppendVarint(b, n)
	}
	text := valid(a.Text())
	b = beginAttr(b, string(k.Name()), 1+protowire.SizeBytes(len(text)))
	b = append(b, 1<<3|byte(protowire.BytesType))
	return protowire.AppendString(b, text)
}

// beginAttr begins a KeyValue with its key, and its value of this length.
func beginAttr(b []byte, key string, value int) []byte {
	n := 1 + protowire.SizeBytes(len(key)) + 1 + protowire.SizeBytes(value)
	if n < 1<<7 { // nearly always
		b = append(b, byte(n), 1<<3|byte(protowire.BytesType), byte(len(key)))
		b = append(b, key...)
		return append(b, 2<<3|byte(protowire.BytesType), byte(value))
	}
	b = protowire.AppendVarint(b, uint64(n))
	b = protowire.AppendString(append(b, 1<<3|byte(protowire.BytesType)), key)
	return protowire.AppendVarint(append(b, 2<<3|byte(protowire.BytesType)), uint64(value))
}

// maxSpare bounds the memory, in bytes, that a batch leaves to another.
const maxSpare = 2 << 20

// reuse leaves the memory of a batch that has been sent to the next one. mu is held.
func (e *Exporter) reuse(b *batch) {
	e.spare = b.scopes
	for i := range e.spare {
		e.spare[i].message = e.spare[i].message[:e.spare[i].empty]
		if cap(e.spare[i].message) > maxSpare {
			e.spare = nil
			return
		}
	}
}

// empty returns a batch to fill, in the memory of one that has been sent if there is any. mu is held.
func (e *Exporter) empty() *batch {
	b := &batch{scopes: e.spare}
	e.spare = nil
	return b
}
