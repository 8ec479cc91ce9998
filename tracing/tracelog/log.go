package tracelog

import (
	"bytes"
	"context"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/tracing/span"
)

// Log writes the lines of spans. Its methods may be called from any goroutine.
type Log struct {
	table *span.Table
	out   zapcore.WriteSyncer
	text  *span.Operation
}

var (
	_ span.Observer          = (*Log)(nil)
	_ sdktrace.SpanProcessor = (*Log)(nil)
)

// New returns a Log of the table's spans. It writes each line with one call of out, which buffers; while that waits, whoever starts
// or ends a span waits. The ENTER lines of the operation text have the text of WithText among their arguments; text may be nil.
func New(table *span.Table, out zapcore.WriteSyncer, text *span.Operation) *Log {
	return &Log{table, out, text}
}

type textKey struct{}

// WithText returns a context with a text that only the log has: no span does.
func WithText(ctx context.Context, text string) context.Context {
	return context.WithValue(ctx, textKey{}, text)
}

// line is the memory in which one line is made.
type line struct {
	buf    []byte
	fields []byte
	attrs  []span.Attr
}

// Began implements span.Observer.
func (l *Log) Began(ctx context.Context, s *span.Span) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	text, withText := "", false
	if l.text != nil && s.Operation() == l.text {
		text, withText = ctx.Value(textKey{}).(string)
	}
	c := said(l.table, s, s.StartAttrs())
	l.write(m.enter(&c, s.StartTime(), text, withText))
}

// Ended implements span.Observer.
func (l *Log) Ended(s *span.Span) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	l.write(m.exitSpan(l.table, s))
}

// OnStart implements sdktrace.SpanProcessor, for the spans of libraries.
func (l *Log) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	c := m.saidOfLibrary(l.table, s)
	l.write(m.enter(&c, s.StartTime(), "", false))
}

// OnEnd implements sdktrace.SpanProcessor, for the spans of libraries.
func (l *Log) OnEnd(s sdktrace.ReadOnlySpan) {
	m := lines.Get().(*line)
	defer lines.Put(m)
	l.write(m.exitLibrary(l.table, s))
}

// Shutdown implements sdktrace.SpanProcessor, and does nothing: out belongs to whoever made it, and is flushed after the last span.
func (*Log) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (l *Log) ForceFlush(context.Context) error { return l.out.Sync() }

func (l *Log) write(b []byte) {
	// A log that cannot be written must not stop the program. out reports it.
	_, _ = l.out.Write(b)
}

// Enter returns the ENTER line that a Log has of s, without the newline and without text.
func Enter(table *span.Table, s sdktrace.ReadOnlySpan) []byte {
	m := lines.Get().(*line)
	defer lines.Put(m)
	if own, ok := s.(*span.Span); ok {
		m.attrs = own.AppendStartAttrs(m.attrs[:0])
		c := said(table, own, m.attrs)
		return copied(m.enter(&c, own.StartTime(), "", false))
	}
	c := m.saidOfLibrary(table, s)
	return copied(m.enter(&c, s.StartTime(), "", false))
}

// Exit returns the EXIT line that a Log has of s, without the newline. s must have ended.
func Exit(table *span.Table, s sdktrace.ReadOnlySpan) []byte {
	m := lines.Get().(*line)
	defer lines.Put(m)
	if own, ok := s.(*span.Span); ok {
		return copied(m.exitSpan(table, own))
	}
	return copied(m.exitLibrary(table, s))
}

func copied(line []byte) []byte { return bytes.Clone(bytes.TrimSuffix(line, []byte("\n"))) }
