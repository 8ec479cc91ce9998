package span

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Observer is told of every span of a Tracer. Its methods are called from the goroutine that starts or ends the span, which
// waits for them: they must not block. One that is an sdktrace.SpanProcessor too can be told of libraries' spans by the SDK.
type Observer interface {
	// Began is called once for each span, before anyone else has the span. ctx is that in which the span was started.
	Began(ctx context.Context, s *Span)
	// Ended is called once for each span; the span does not change any more.
	Ended(s *Span)
}

// The methods in this file are for Observers. They do not lock: those that read what changes while a span is open may be
// called within Began and Ended only, and after a call of EndTime has returned that the span has ended.

// Operation returns what the span is of.
func (s *Span) Operation() *Operation { return s.op }

// Connection returns the connection that the span belongs to, or nil.
func (s *Span) Connection() *Connection { return s.connection }

// TraceID returns the id of the span's trace.
func (s *Span) TraceID() trace.TraceID { return s.trace }

// SpanID returns the id of the span.
func (s *Span) SpanID() trace.SpanID { return s.id }

// ParentID returns the id of the span's parent; it is not valid if there is none.
func (s *Span) ParentID() trace.SpanID { return s.parent }

// HasRemoteParent reports whether the parent is of another process.
func (s *Span) HasRemoteParent() bool { return s.remote }

// TraceFlags returns the W3C flags of the span.
func (s *Span) TraceFlags() trace.TraceFlags { return s.flags }

// TraceState returns the W3C trace state of the span's trace.
func (s *Span) TraceState() trace.TraceState { return s.traceState() }

// StartSize returns about how many bytes of memory the span took when it started. See Size.
func (s *Span) StartSize() int { return int(s.size) }

// Duration returns how long the span took. Within Ended only.
func (s *Span) Duration() time.Duration { return s.took }

// Attrs returns the span's own attributes, without its connection's, its operation's and those that the table has no key for.
// The caller must not change them. Within Began and Ended only.
func (s *Span) Attrs() []Attr { return s.attrs }

// StartAttrs returns those of Attrs that the span had when it started.
func (s *Span) StartAttrs() []Attr { return s.attrs[:s.known:s.known] }

// EndAttrs returns those of Attrs that the span did not have when it started.
func (s *Span) EndAttrs() []Attr { return s.attrs[s.known:] }

// AppendStartAttrs appends StartAttrs to attrs. It may be called at any time.
func (s *Span) AppendStartAttrs(attrs []Attr) []Attr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(attrs, s.attrs[:s.known]...)
}

// Link returns the span that opened the connection, if this span is linked to it. ok is false if not.
func (s *Span) Link() (to trace.SpanContext, ok bool) {
	if !s.op.Linked || s.connection == nil || len(s.connection.links) == 0 {
		return trace.SpanContext{}, false
	}
	return s.connection.links[0].SpanContext, true
}

// HasMore reports whether the span has any of what few spans have: a status, events, links besides Link, or foreign
// attributes. If not, Status, Events, DroppedEvents and Foreign need not be asked. Within Began and Ended only.
func (s *Span) HasMore() bool { return s.rare != nil }

// Foreign returns the attributes that the table has no key for. The caller must not change them.
func (s *Span) Foreign() []attribute.KeyValue { return s.more().foreign }
