package tracing

import (
	"context"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap/zapcore"
)

// maxField is the length in characters at which args and result are cut.
const (
	maxField  = 500
	truncated = "...(truncated)"
)

// traceLog is the span processor that writes the trace log: an ENTER line when a span starts and an EXIT line when it
// ends. Lines go through out, which buffers; a full buffer makes the writer wait.
type traceLog struct {
	out zapcore.WriteSyncer
}

var _ sdktrace.SpanProcessor = (*traceLog)(nil)

// line is the memory in which one line is made.
type line struct {
	buf    []byte
	fields []byte
}

var lines = sync.Pool{New: func() any { return &line{buf: make([]byte, 0, 1024), fields: make([]byte, 0, 512)} }}

func (l *traceLog) OnStart(parent context.Context, s sdktrace.ReadWriteSpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	text, ok := textOf(parent)
	l.write(m.enter(s, ownAttributes(s), text, ok && s.Name() == opReceive.span))
}

func (l *traceLog) OnEnd(s sdktrace.ReadOnlySpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	l.write(m.exit(s))
}

// enter makes the line of a span's start, when it had these attributes.
func (m *line) enter(s sdktrace.ReadOnlySpan, attrs []attribute.KeyValue, text string, withText bool) []byte {
	b := m.begin(s.StartTime(), "ENTER", s.Name(), s.InstrumentationScope().Name, attrs)
	b = append(b, `,"args":`...)
	if withText {
		fields := appendFields(m.fields[:0], attrs, argName)
		fields = append(fields[:len(fields)-1], `,"text":`...) // a receive has other fields before it
		m.fields = append(appendQuoted(fields, text), '}')
		b = appendCut(b, m.fields)
	} else {
		b = m.appendObject(b, attrs, argName)
	}
	b = appendIDs(b, s)
	if p := s.Parent(); p.SpanID().IsValid() {
		id := p.SpanID()
		b = append(b, `,"parent_span_id":"`...)
		b = appendHex(b, id[:])
		b = append(b, '"')
	}
	if links := s.Links(); len(links) > 0 {
		tid, sid := links[0].SpanContext.TraceID(), links[0].SpanContext.SpanID()
		b = append(b, `,"linked_trace_id":"`...)
		b = appendHex(b, tid[:])
		b = append(b, `","linked_span_id":"`...)
		b = appendHex(b, sid[:])
		b = append(b, '"')
	}
	return m.finish(b)
}

// exit makes the line of a span's end.
func (m *line) exit(s sdktrace.ReadOnlySpan) []byte {
	attrs := ownAttributes(s)
	b := m.begin(s.EndTime(), "EXIT", s.Name(), s.InstrumentationScope().Name, attrs)
	b = append(b, `,"result":`...)
	if st := s.Status(); st.Code == codes.Error {
		kind := errorType(attrs)
		fields := append(m.fields[:0], "error: "...)
		fields = append(fields, kind...)
		fields = append(fields, ": "...)
		fields = append(fields, st.Description...)
		m.fields = fields
		b = appendCut(b, fields)
		b = append(b, `,"exception":{"type":`...)
		b = appendQuoted(b, kind)
		b = append(b, `,"message":`...)
		b = appendQuoted(b, st.Description)
		b = append(b, '}')
	} else {
		b = m.appendObject(b, attrs, resultName)
	}
	micros := s.EndTime().Sub(s.StartTime()).Microseconds()
	b = append(b, `,"durationMicros":`...)
	b = strconv.AppendInt(b, micros, 10)
	b = append(b, `,"durationMillis":`...)
	b = strconv.AppendInt(b, micros/1000, 10)
	return m.finish(appendIDs(b, s))
}

// finish ends a line, which is m's until m is used again.
func (m *line) finish(b []byte) []byte {
	m.buf = append(b, "}\n"...)
	return m.buf
}

// Shutdown and ForceFlush leave the buffer alone: it belongs to whoever made it, and is flushed after the last span.
func (l *traceLog) Shutdown(context.Context) error { return nil }

func (l *traceLog) ForceFlush(context.Context) error { return l.out.Sync() }

func (l *traceLog) write(b []byte) {
	// A trace log that cannot be written must not stop the server; the writer below reports it once.
	_, _ = l.out.Write(b)
}

// begin starts a line with what ENTER and EXIT have in common.
func (m *line) begin(at time.Time, event, name, scope string, attrs []attribute.KeyValue) []byte {
	module, function := names(name, scope)
	b := append(m.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = append(b, `,"event":"`...)
	b = append(b, event...)
	b = append(b, `","thread":"`...)
	b = append(b, threadOf(module, attrs)...)
	b = append(b, `","module":"`...)
	b = append(b, module...)
	b = append(b, `","function":`...)
	return appendQuoted(b, function)
}

// names gives the module and function under which a span is logged. Spans that no operation declares are those of HTTP
// requests and of libraries.
func names(span, scope string) (module, function string) {
	if op, ok := operations[span]; ok {
		return op.module, op.function
	}
	switch scope {
	case httpScope:
		return "http", span
	case sqlScope:
		return "sql", span
	}
	return "library", span
}

// threadOf names the logical thread of work: the connection, else what module it is.
func threadOf(module string, attrs []attribute.KeyValue) string {
	for i := range attrs {
		if attrs[i].Key == attrConnection {
			return threadName(attrs[i].Value.AsString())
		}
	}
	if module == "app" {
		return "main"
	}
	return "http"
}

func errorType(attrs []attribute.KeyValue) string {
	for i := range attrs {
		if attrs[i].Key == semconv.ErrorTypeKey {
			return attrs[i].Value.AsString()
		}
	}
	return "error"
}

func appendIDs(b []byte, s sdktrace.ReadOnlySpan) []byte {
	tid, sid := s.SpanContext().TraceID(), s.SpanContext().SpanID()
	b = append(b, `,"trace_id":"`...)
	b = appendHex(b, tid[:])
	b = append(b, `","span_id":"`...)
	b = appendHex(b, sid[:])
	return append(b, '"')
}

// appendFields appends the attributes that have a name in names, as a JSON object.
func appendFields(b []byte, attrs []attribute.KeyValue, names map[attribute.Key]string) []byte {
	b = append(b, '{')
	first := true
	for i := range attrs {
		name, ok := names[attrs[i].Key]
		if !ok {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		switch v := attrs[i].Value; v.Type() {
		case attribute.INT64:
			b = strconv.AppendInt(b, v.AsInt64(), 10)
		case attribute.BOOL:
			b = strconv.AppendBool(b, v.AsBool())
		default:
			b = appendQuoted(b, v.String())
		}
	}
	return append(b, '}')
}

// appendObject appends the attributes that have a name in names, as a JSON object in a JSON string. Nearly all are plain
// text and short: then the object is written as it stands in the string. Otherwise it is made first, and then quoted.
func (m *line) appendObject(b []byte, attrs []attribute.KeyValue, names map[attribute.Key]string) []byte {
	begin := len(b)
	b = append(b, `"{`...)
	for i := range attrs {
		name, ok := names[attrs[i].Key]
		if !ok {
			continue
		}
		if len(b) > begin+2 {
			b = append(b, ',')
		}
		b = append(b, '\\', '"')
		b = append(b, name...)
		b = append(b, '\\', '"', ':')
		switch v := attrs[i].Value; v.Type() {
		case attribute.INT64:
			b = strconv.AppendInt(b, v.AsInt64(), 10)
		case attribute.STRING:
			text := v.AsString()
			if !plain(text) {
				return m.appendSlow(b[:begin], attrs, names)
			}
			b = append(b, '\\', '"')
			b = append(b, text...)
			b = append(b, '\\', '"')
		default:
			return m.appendSlow(b[:begin], attrs, names)
		}
	}
	if len(b)-begin > maxField {
		return m.appendSlow(b[:begin], attrs, names)
	}
	return append(b, '}', '"')
}

func (m *line) appendSlow(b []byte, attrs []attribute.KeyValue, names map[attribute.Key]string) []byte {
	m.fields = appendFields(m.fields[:0], attrs, names)
	return appendCut(b, m.fields)
}

// plain reports whether s stands in JSON, and in JSON in a JSON string, as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
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

const hexDigits = "0123456789abcdef"

func appendHex(b, id []byte) []byte {
	for _, c := range id {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return b
}

// appendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, which is all that its error would say.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
