package tracing

import (
	"context"
	"encoding/hex"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
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
	attrs  []attr
}

var lines = sync.Pool{New: func() any { return &line{buf: make([]byte, 0, 1024), fields: make([]byte, 0, 512)} }}

// OnStart implements sdktrace.SpanProcessor, for the spans of libraries.
func (l *traceLog) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	l.write(m.enter(m.tell(s, s.Attributes()), s.StartTime(), "", false))
}

// OnEnd implements sdktrace.SpanProcessor, for the spans of libraries.
func (l *traceLog) OnEnd(s sdktrace.ReadOnlySpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	end := endOf(s)
	l.write(m.exit(m.tell(s, s.Attributes()), end, end.Sub(s.StartTime()), s.Status()))
}

// began implements observer.
func (l *traceLog) began(ctx context.Context, s *span) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	text, withText := "", false
	if s.op == &opReceive {
		text, withText = textOf(ctx)
	}
	l.write(m.enter(tellOperation(s, s.attrs[:s.known]), s.start, text, withText))
}

// ended implements observer.
func (l *traceLog) ended(s *span) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	l.write(m.exitOperation(s))
}

// exitOperation makes the line of the end of s, which nobody changes meanwhile: it says what s did not start with.
func (m *line) exitOperation(s *span) []byte {
	var status sdktrace.Status
	if s.rare != nil {
		status = s.rare.status
	}
	return m.exit(tellOperation(s, s.attrs[s.known:]), s.start.Add(s.took), s.took, status)
}

// told is what lines say of a span.
type told struct {
	thread     string // the logical thread of work: the connection, else what module it is
	place      string // module and function, as placeOf has them
	connection *connection
	attrs      []attr // besides the connection's id
	trace      trace.TraceID
	id, parent trace.SpanID
	linked     string // the first link, as linkOf has it; may be empty
}

// tellOperation is told of s, which nobody changes meanwhile, with these attributes.
func tellOperation(s *span, attrs []attr) told {
	t := told{thread: threadOf(s.op.module, ""), place: s.op.place, connection: s.connection, attrs: attrs,
		trace: s.trace, id: s.id, parent: s.parent}
	if c := s.connection; c != nil {
		t.thread = c.thread
		if s.op.linked {
			t.linked = c.linked
		}
	}
	return t
}

// tell is told of a span with these attributes. It is the line's until the line is used again.
func (m *line) tell(s sdktrace.ReadOnlySpan, attrs []attribute.KeyValue) told {
	module, function := names(s.Name(), s.InstrumentationScope().Name)
	m.attrs = appendAttrs(m.attrs[:0], attrs)
	t := told{thread: threadOf(module, connectionID(attrs)), place: placeOf(module, function), attrs: m.attrs,
		trace: s.SpanContext().TraceID(), id: s.SpanContext().SpanID(), parent: s.Parent().SpanID()}
	if links := s.Links(); len(links) > 0 {
		t.linked = linkOf(links[0].SpanContext)
	}
	return t
}

// enter makes the line of the start of what is told.
func (m *line) enter(t told, at time.Time, text string, withText bool) []byte {
	b := m.begin(at, "ENTER", &t)
	b = append(b, `,"args":`...)
	if withText {
		fields := appendFields(m.fields[:0], t.all(), args)
		fields = append(fields[:len(fields)-1], `,"text":`...) // a receive has other fields before it
		text = text[:min(len(text), (maxField+1)*utf8.UTFMax)] // enough to be cut
		m.fields = append(appendQuoted(fields, text), '}')
		b = appendCut(b, m.fields)
	} else {
		b = m.appendObject(b, &t, args)
	}
	b = appendIDs(b, &t)
	if t.parent.IsValid() {
		b = append(b, `,"parent_span_id":"`...)
		b = hex.AppendEncode(b, t.parent[:])
		b = append(b, '"')
	}
	b = append(b, t.linked...)
	return m.finish(b)
}

// exit makes the line of the end of what is told, which took this long.
func (m *line) exit(t told, at time.Time, took time.Duration, status sdktrace.Status) []byte {
	b := m.begin(at, "EXIT", &t)
	b = append(b, `,"result":`...)
	if status.Code == codes.Error {
		kind := errorType(t.attrs)
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
		b = m.appendObject(b, &t, result)
	}
	micros := took.Microseconds()
	b = append(b, `,"durationMicros":`...)
	b = strconv.AppendInt(b, micros, 10)
	b = append(b, `,"durationMillis":`...)
	b = strconv.AppendInt(b, micros/1000, 10)
	return m.finish(appendIDs(b, &t))
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
func (m *line) begin(at time.Time, event string, t *told) []byte {
	b := append(m.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	b = append(b, `,"event":"`...)
	b = append(b, event...)
	b = append(b, `","thread":"`...)
	b = append(b, t.thread...)
	return append(b, t.place...)
}

// placeOf is module and function as they follow on a line's thread.
func placeOf(module, function string) string {
	return string(appendQuoted([]byte(`","module":"`+module+`","function":`), function))
}

// linkOf is a link as it ends a line.
func linkOf(to trace.SpanContext) string {
	return `,"linked_trace_id":"` + to.TraceID().String() + `","linked_span_id":"` + to.SpanID().String() + `"`
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

// threadOf names the logical thread of work: the connection, if there is one, else what module it is.
func threadOf(module, connectionID string) string {
	switch {
	case connectionID != "":
		return threadName(connectionID)
	case module == "app":
		return "main"
	}
	return "http"
}

// connectionID is that among attrs, if there is one.
func connectionID(attrs []attribute.KeyValue) string {
	for i := range attrs {
		if attrs[i].Key == keyConnection.name {
			return attrs[i].Value.AsString()
		}
	}
	return ""
}

func errorType(attrs []attr) string {
	for i := range attrs {
		if attrs[i].key == keyErrorType {
			return attrs[i].text
		}
	}
	return "error"
}

func appendIDs(b []byte, t *told) []byte {
	b = append(b, `,"trace_id":"`...)
	b = hex.AppendEncode(b, t.trace[:])
	b = append(b, `","span_id":"`...)
	b = hex.AppendEncode(b, t.id[:])
	return append(b, '"')
}

// writing is one of the objects in a line: it says under which name an attribute is in it. Empty: it is left out.
type writing bool

const (
	args   writing = false
	result writing = true
)

func (w writing) name(k *key) string {
	if w == result {
		return k.result
	}
	return k.arg
}

// appendFields appends the attributes that have a name, as a JSON object.
func appendFields(b []byte, attrs []attr, w writing) []byte {
	b = append(b, '{')
	begin := len(b)
	for i := range attrs {
		name := w.name(attrs[i].key)
		if name == "" {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, name...)
		b = append(b, `":`...)
		if attrs[i].key.number {
			b = strconv.AppendInt(b, attrs[i].number, 10)
		} else {
			b = appendQuoted(b, attrs[i].text)
		}
	}
	return append(b, '}')
}

// appendObject appends the attributes that have a name, as a JSON object in a JSON string. Nearly all are plain
// text and short: then the object is written as it stands in the string. Otherwise it is made first, and then quoted.
func (m *line) appendObject(b []byte, t *told, w writing) []byte {
	begin := len(b)
	b = append(b, `"{`...)
	for i := range t.attrs {
		a := &t.attrs[i]
		name := w.name(a.key)
		if name == "" {
			continue
		}
		if len(b) > begin+2 {
			b = append(b, ',')
		}
		b = append(b, '\\', '"')
		b = append(b, name...)
		if a.key.number {
			b = strconv.AppendInt(append(b, `\":`...), a.number, 10)
			continue
		}
		if !plain(a.text) {
			return m.appendSlow(b[:begin], t, w)
		}
		b = append(b, `\":\"`...)
		b = append(b, a.text...)
		b = append(b, '\\', '"')
	}
	if t.connection != nil && w == args {
		if len(b) > begin+2 {
			b = append(b, ',')
		}
		b = append(b, t.connection.arg...)
	}
	if len(b)-begin > maxField {
		return m.appendSlow(b[:begin], t, w)
	}
	return append(b, '}', '"')
}

func (m *line) appendSlow(b []byte, t *told, w writing) []byte {
	m.fields = appendFields(m.fields[:0], t.all(), w)
	return appendCut(b, m.fields)
}

// all is the attributes of t with the connection's id.
func (t *told) all() []attr {
	if t.connection == nil {
		return t.attrs
	}
	return append(slices.Clip(t.attrs), keyConnection.text(t.connection.id))
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

// appendQuoted appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, which is all that its error would say.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b, _ = jsontext.AppendQuote(b, s)
	return b
}
