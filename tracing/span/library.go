package span

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Bounded returns a TracerProvider for libraries, whose spans hold no text of more than most bytes. The SDK has a limit of its own,
// which cuts neither status nor events, leaves no mark, and keeps all of what it cuts in memory.
func Bounded(p trace.TracerProvider, most int) trace.TracerProvider { return boundedProvider{p, most} }

type boundedProvider struct {
	trace.TracerProvider
	most int
}

// Tracer implements trace.TracerProvider.
func (p boundedProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return boundedTracer{p.TracerProvider.Tracer(name, opts...), p.most}
}

type boundedTracer struct {
	trace.Tracer
	most int
}

// Start implements trace.Tracer.
func (t boundedTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(opts...)
	opts = []trace.SpanStartOption{
		trace.WithTimestamp(config.Timestamp()), trace.WithSpanKind(config.SpanKind()),
		trace.WithAttributes(copied(config.Attributes(), t.most)...),
	}
	for _, l := range config.Links() {
		opts = append(opts, trace.WithLinks(boundedLink(l, t.most)))
	}
	if config.NewRoot() {
		opts = append(opts, trace.WithNewRoot())
	}
	ctx, span := t.Tracer.Start(ctx, bounded(name, t.most), opts...)
	span = boundedSpan{span, t.most}
	return trace.ContextWithSpan(ctx, span), span
}

// copied is boundedAttributes with all text in memory of its own: an attribute of a request may be a part of a long header,
// all of which would be kept in memory with it.
func copied(attrs []attribute.KeyValue, most int) []attribute.KeyValue {
	attrs = boundedAttributes(attrs, most)
	n := 0
	for i := range attrs {
		if attrs[i].Value.Type() == attribute.STRING {
			n += len(attrs[i].Value.AsString())
		}
	}
	var b strings.Builder
	b.Grow(n)
	own := make([]attribute.KeyValue, len(attrs))
	for i, kv := range attrs {
		if kv.Value.Type() == attribute.STRING {
			at := b.Len()
			b.WriteString(kv.Value.AsString())
			kv.Value = attribute.StringValue(b.String()[at:])
		}
		own[i] = kv
	}
	return own
}

type boundedSpan struct {
	trace.Span
	most int
}

// SetName implements trace.Span.
func (s boundedSpan) SetName(name string) { s.Span.SetName(bounded(name, s.most)) }

// SetStatus implements trace.Span.
func (s boundedSpan) SetStatus(code codes.Code, description string) {
	s.Span.SetStatus(code, bounded(description, s.most))
}

// SetAttributes implements trace.Span.
func (s boundedSpan) SetAttributes(attrs ...attribute.KeyValue) {
	s.Span.SetAttributes(boundedAttributes(attrs, s.most)...)
}

// AddLink implements trace.Span.
func (s boundedSpan) AddLink(l trace.Link) { s.Span.AddLink(boundedLink(l, s.most)) }

// AddEvent implements trace.Span.
func (s boundedSpan) AddEvent(name string, opts ...trace.EventOption) {
	config := trace.NewEventConfig(opts...)
	s.Span.AddEvent(bounded(name, s.most), trace.WithTimestamp(config.Timestamp()), trace.WithAttributes(boundedAttributes(config.Attributes(), s.most)...))
}

// RecordError implements trace.Span.
func (s boundedSpan) RecordError(err error, opts ...trace.EventOption) {
	if err != nil {
		s.AddEvent(semconv.ExceptionEventName, append(opts, exception(err))...)
	}
}

func boundedLink(l trace.Link, most int) trace.Link {
	l.Attributes = boundedAttributes(l.Attributes, most)
	return l
}
