package tracelog

import (
	"encoding/hex"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// maxField is the length in characters at which args and result are cut.
const (
	maxField  = 500
	truncated = "...(truncated)"
)

// content is what a line says of a span.
type content struct {
	thread, module, function string
	connection               *span.Connection // nil: none
	attrs                    []span.Attr      // besides the connection's id
	trace                    trace.TraceID
	id, parent               trace.SpanID
	linkTrace                trace.TraceID // of the first link; not valid: none
	linkSpan                 trace.SpanID
}

// said returns what a line says of an operation's span, with these attributes.
func said(table *span.Table, s *span.Span, attrs []span.Attr) content {
	op := s.Operation()
	c := content{module: op.Module, function: op.Function, connection: s.Connection(), attrs: attrs,
		trace: s.TraceID(), id: s.SpanID(), parent: s.ParentID()}
	if c.connection != nil {
		c.thread = c.connection.Thread()
	} else {
		c.thread = table.Thread(op.Module, "")
	}
	if to, ok := s.Link(); ok {
		c.linkTrace, c.linkSpan = to.TraceID(), to.SpanID()
	}
	return c
}

// saidOfLibrary returns what a line says of another span. It uses m's memory and is valid until m is used again.
func (m *line) saidOfLibrary(table *span.Table, s sdktrace.ReadOnlySpan) content {
	attrs := s.Attributes()
	m.attrs = table.AppendAttrs(m.attrs[:0], attrs)
	c := content{attrs: m.attrs, trace: s.SpanContext().TraceID(), id: s.SpanContext().SpanID(), parent: s.Parent().SpanID()}
	c.module, c.function = table.NamesOf(s.Name(), s.InstrumentationScope().Name)
	c.thread = table.Thread(c.module, table.ConnectionID(attrs))
	if links := s.Links(); len(links) > 0 {
		c.linkTrace, c.linkSpan = links[0].SpanContext.TraceID(), links[0].SpanContext.SpanID()
	}
	return c
}

// exitSpan makes the EXIT line of an operation's span, which has ended. It says what the span did not start with.
func (m *line) exitSpan(table *span.Table, s *span.Span) []byte {
	var status sdktrace.Status
	if s.HasMore() {
		status = s.Status()
	}
	took := s.Duration()
	c := said(table, s, s.EndAttrs())
	return m.exit(&c, s.StartTime().Add(took), took, status)
}

// exitLibrary makes the EXIT line of another span, which has ended.
func (m *line) exitLibrary(table *span.Table, s sdktrace.ReadOnlySpan) []byte {
	end := span.EndOf(s)
	c := m.saidOfLibrary(table, s)
	return m.exit(&c, end, end.Sub(s.StartTime()), s.Status())
}

// enter makes an ENTER line. Like all lines, it is valid until m is used again.
func (m *line) enter(c *content, at time.Time, text string, withText bool) []byte {
	b := m.begin(at, "ENTER", c)
	b = append(b, `,"args":`...)
	if withText {
		fields := appendFields(m.fields[:0], c.all(), args)
		fields = append(fields[:len(fields)-1], `,"text":`...) // an operation with a text has other fields before it
		text = text[:min(len(text), (maxField+1)*utf8.UTFMax)] // enough to be cut
		m.fields = append(appendQuoted(fields, text), '}')
		b = appendCut(b, m.fields)
	} else {
		b = m.appendObject(b, c, args)
	}
	b = appendIDs(b, `,"trace_id":"`, c.trace, `","span_id":"`, c.id)
	if c.parent.IsValid() {
		b = append(b, `,"parent_span_id":"`...)
		b = hex.AppendEncode(b, c.parent[:])
		b = append(b, '"')
	}
	if c.linkTrace.IsValid() {
		b = appendIDs(b, `,"linked_trace_id":"`, c.linkTrace, `","linked_span_id":"`, c.linkSpan)
	}
	return m.finish(b)
}

// exit makes an EXIT line.
func (m *line) exit(c *content, at time.Time, took time.Duration, status sdktrace.Status) []byte {
	b := m.begin(at, "EXIT", c)
	b = append(b, `,"result":`...)
	if status.Code == codes.Error {
		kind := errorType(c.attrs)
		fields := append(m.fields[:0], "error: "...)
		fields = append(fields, kind...)
		fields = append(fields, ": "...)
		fields = append(fields, status.Description...)
		m.fields = fields
		b = appendCut(b, fields)
		b = append(b, `,"exception":{"type":`...)
		b = appendQuoted(b, kind)
		b = append(b, `,"message":`...)
		b = appendQuoted(b, status.Description)
		b = append(b, '}')
	} else {
		b = m.appendObject(b, c, result)
	}
	micros := took.Microseconds()
	b = append(b, `,"durationMicros":`...)
	b = strconv.AppendInt(b, micros, 10)
	b = append(b, `,"durationMillis":`...)
	b = strconv.AppendInt(b, micros/1000, 10)
	return m.finish(appendIDs(b, `,"trace_id":"`, c.trace, `","span_id":"`, c.id))
}

// begin starts a line with what ENTER and EXIT have in common.
func (m *line) begin(at time.Time, event string, c *content) []byte {
	b := append(m.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = append(b, `,"event":"`...)
	b = append(b, event...)
	b = append(b, `","thread":"`...)
	b = append(b, c.thread...)
	b = append(b, `","module":"`...)
	b = append(b, c.module...)
	b = append(b, `","function":`...)
	return appendText(b, c.function)
}

func (m *line) finish(b []byte) []byte {
	m.buf = append(b, "}\n"...)
	return m.buf
}

// appendIDs appends two fields with ids, each behind what is to stand before it.
func appendIDs(b []byte, beforeTrace string, id trace.TraceID, beforeSpan string, span trace.SpanID) []byte {
	b = append(b, beforeTrace...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, beforeSpan...)
	b = hex.AppendEncode(b, span[:])
	return append(b, '"')
}

func errorType(attrs []span.Attr) string {
	for i := range attrs {
		if attrs[i].Key().Name() == semconv.ErrorTypeKey {
			return attrs[i].Text()
		}
	}
	return "error"
}

// field is one of the two fields of lines that are objects. Each has names of its own for attributes.
type field bool

const (
	args   field = false
	result field = true
)

// name returns the name that an attribute has in the field; empty: it is left out.
func (f field) name(k *span.Key) string {
	if f == result {
		return k.Result()
	}
	return k.Arg()
}

// appendFields appends the attributes that have a name, as a JSON object.
func appendFields(b []byte, attrs []span.Attr, f field) []byte {
	b = append(b, '{')
	begin := len(b)
	for i := range attrs {
		a := &attrs[i]
		name := f.name(a.Key())
		if name == "" {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		if a.Key().IsNumber() {
			b = strconv.AppendInt(b, a.Int64(), 10)
		} else {
			b = appendQuoted(b, a.Text())
		}
	}
	return append(b, '}')
}

// all returns the attributes of c with the connection's id.
func (c *content) all() []span.Attr {
	if c.connection == nil {
		return c.attrs
	}
	return append(slices.Clip(c.attrs), c.connection.ID())
}

// appendCut appends s as a JSON string of at most maxField characters.
func appendCut(b, s []byte) []byte {
	if len(s) > maxField && utf8.RuneCount(s) > maxField {
		end := 0
		for range maxField {
			_, n := utf8.DecodeRune(s[end:])
			end += n
		}
		b = appendQuoted(b, s[:end])
		b = append(b[:len(b)-1], truncated...)
		return append(b, '"')
	}
	return appendQuoted(b, s)
}

// appendText appends s as a JSON string.
func appendText(b []byte, s string) []byte {
	if !plain(s) {
		return appendQuoted(b, s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD; the error would say no more than that there are any.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
