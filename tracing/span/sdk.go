package span

import (
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// This file has what a Span needs to be a span of OpenTelemetry's: a trace.Span for the libraries that find it in a context,
// and an sdktrace.ReadWriteSpan for span processors. Some methods are there only because these interfaces have them; they say so.

var _ sdktrace.ReadWriteSpan = (*Span)(nil)

// End implements trace.Span.
func (s *Span) End(opts ...trace.SpanEndOption) {
	config := trace.NewSpanEndConfig(opts...)
	at := config.Timestamp()
	if at.IsZero() {
		at = time.Now()
	}
	s.FinishAt(at, nil)
}

// SetAttributes implements trace.Span.
func (s *Span) SetAttributes(attrs ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	for _, kv := range attrs {
		if a, ok := s.tracer.table.attr(kv); ok {
			s.put(a)
		} else {
			s.putForeign(kv)
		}
	}
}

// SetStatus implements trace.Span. Ok overrides Error, and Error overrides Unset.
func (s *Span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.setStatus(code, description)
	}
}

// AddEvent implements trace.Span.
func (s *Span) AddEvent(name string, opts ...trace.EventOption) {
	if s == nil {
		return
	}
	config := trace.NewEventConfig(opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	r, limits := s.rarely(), &s.tracer.table.Limits
	if len(r.events) >= limits.Events {
		r.dropped++
		return
	}
	r.events = append(r.events, sdktrace.Event{
		Name: bounded(name, limits.Text), Attributes: boundedAttributes(config.Attributes(), limits.Text), Time: config.Timestamp(),
	})
}

// RecordError implements trace.Span: it adds an event in the form of the semantic conventions. Only the interface needs it:
// an operation's error is given to Finish.
func (s *Span) RecordError(err error, opts ...trace.EventOption) {
	if err == nil {
		return
	}
	s.AddEvent(semconv.ExceptionEventName, append(opts, exception(err))...)
}

// exception returns the attributes that the semantic conventions give an event of an error.
func exception(err error) trace.EventOption {
	return trace.WithAttributes(semconv.ExceptionType(fmt.Sprintf("%T", err)), semconv.ExceptionMessage(err.Error()))
}

// AddLink implements trace.Span. Only the interface needs it: an operation's link is that to its connection.
func (s *Span) AddLink(l trace.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		r := s.rarely()
		r.links = append(r.links, sdktrace.Link{SpanContext: l.SpanContext, Attributes: boundedAttributes(l.Attributes, s.tracer.table.Limits.Text)})
	}
}

// SetName implements trace.Span, and does nothing: the name of an operation's span does not change. Only the interface needs it.
func (*Span) SetName(string) {}

// IsRecording implements trace.Span. Only the interface needs it.
func (s *Span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over
}

// SpanContext implements trace.Span. That of a nil Span is of no trace.
func (s *Span) SpanContext() trace.SpanContext {
	if s == nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.trace, SpanID: s.id, TraceFlags: s.flags, TraceState: s.traceState()})
}

// TracerProvider implements trace.Span. Only the interface needs it.
func (s *Span) TracerProvider() trace.TracerProvider { return s.tracer.provider }

// Name implements sdktrace.ReadOnlySpan.
func (s *Span) Name() string { return s.op.Name }

// Parent implements sdktrace.ReadOnlySpan.
func (s *Span) Parent() trace.SpanContext {
	if !s.parent.IsValid() {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: s.trace, SpanID: s.parent, TraceFlags: s.parentFlags, TraceState: s.traceState(), Remote: s.remote,
	})
}

// SpanKind implements sdktrace.ReadOnlySpan.
func (s *Span) SpanKind() trace.SpanKind { return s.op.Kind }

// StartTime implements sdktrace.ReadOnlySpan.
func (s *Span) StartTime() time.Time { return s.start }

// EndTime implements sdktrace.ReadOnlySpan; it is zero until the span has ended.
func (s *Span) EndTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		return time.Time{}
	}
	return s.start.Add(s.took)
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s *Span) Attributes() []attribute.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.own(make([]attribute.KeyValue, 0, 20)), s.op.Attrs...)
	if s.connection != nil {
		all = append(all, s.connection.kind.Shared(s.op)...)
	}
	return all
}

// Links implements sdktrace.ReadOnlySpan.
func (s *Span) Links() []sdktrace.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links()
}

// more returns what few spans have, as it is now.
func (s *Span) more() rarely {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rare == nil {
		return rarely{}
	}
	return *s.rare
}

// Events implements sdktrace.ReadOnlySpan.
func (s *Span) Events() []sdktrace.Event { return slices.Clip(s.more().events) }

// DroppedEvents implements sdktrace.ReadOnlySpan.
func (s *Span) DroppedEvents() int { return s.more().dropped }

// Status implements sdktrace.ReadOnlySpan.
func (s *Span) Status() sdktrace.Status { return s.more().status }

// InstrumentationScope implements sdktrace.ReadOnlySpan.
func (s *Span) InstrumentationScope() instrumentation.Scope { return s.tracer.scope }

// InstrumentationLibrary implements sdktrace.ReadOnlySpan. Only the interface needs it.
func (s *Span) InstrumentationLibrary() instrumentation.Scope { return s.tracer.scope }

// Resource implements sdktrace.ReadOnlySpan. Only the interface needs it.
func (s *Span) Resource() *resource.Resource { return s.tracer.resource }

// DroppedAttributes implements sdktrace.ReadOnlySpan: none are ever dropped.
func (*Span) DroppedAttributes() int { return 0 }

// DroppedLinks implements sdktrace.ReadOnlySpan: none are ever dropped.
func (*Span) DroppedLinks() int { return 0 }

// ChildSpanCount implements sdktrace.ReadOnlySpan. Only the interface needs it: children are not counted.
func (*Span) ChildSpanCount() int { return 0 }
