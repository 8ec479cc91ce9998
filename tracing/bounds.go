package tracing

import (
	"context"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Spans are kept, exported and logged, and much of what they say was chosen by clients. No text in a span is longer than
// maxText bytes: a longer one is cut when it is put into the span, and ends in cutMark.
const (
	maxText = 1 << 10
	cutMark = "…"
)

// bounded is s, cut if it is too long for a span.
func bounded(s string) string {
	if len(s) > maxText {
		return cut(s, maxText)
	}
	return s
}

// cut is the beginning of s, which is longer than size bytes, and cutMark, within size bytes. It is a copy: s can be freed.
func cut(s string, size int) string {
	end := size - len(cutMark)
	for i := range utf8.UTFMax { // not within a character, unless s is not UTF-8
		if utf8.RuneStart(s[end-i]) {
			end -= i
			break
		}
	}
	return s[:end] + cutMark
}

// boundedValue is v, cut if it is too long. Lists of text are bounded as one text.
func boundedValue(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		if s := v.AsString(); len(s) > maxText {
			return attribute.StringValue(cut(s, maxText))
		}
	case attribute.STRINGSLICE:
		n := 0
		for _, s := range v.AsStringSlice() {
			n += len(s)
		}
		if n > maxText {
			return attribute.StringValue(bounded(v.String()))
		}
	}
	return v
}

// boundedAttributes is attrs, each cut if it is too long. attrs itself does not change.
func boundedAttributes(attrs []attribute.KeyValue) []attribute.KeyValue {
	for i := range attrs {
		if v := boundedValue(attrs[i].Value); v != attrs[i].Value {
			cut := make([]attribute.KeyValue, len(attrs))
			for i, kv := range attrs {
				cut[i] = attribute.KeyValue{Key: kv.Key, Value: boundedValue(kv.Value)}
			}
			return cut
		}
	}
	return attrs
}

// boundedProvider is a TracerProvider whose spans take no text that is too long: that of the SDK cuts neither status nor
// events, leaves no mark, and keeps all of what it cuts in memory.
type boundedProvider struct{ trace.TracerProvider }

// Tracer implements trace.TracerProvider.
func (p boundedProvider) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return boundedTracer{p.TracerProvider.Tracer(name, opts...)}
}

type boundedTracer struct{ trace.Tracer }

// Start implements trace.Tracer.
func (t boundedTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(opts...)
	opts = []trace.SpanStartOption{
		trace.WithTimestamp(config.Timestamp()), trace.WithSpanKind(config.SpanKind()),
		trace.WithAttributes(copied(config.Attributes())...),
	}
	for _, l := range config.Links() {
		opts = append(opts, trace.WithLinks(boundedLink(l)))
	}
	if config.NewRoot() {
		opts = append(opts, trace.WithNewRoot())
	}
	ctx, span := t.Tracer.Start(ctx, bounded(name), opts...)
	span = boundedSpan{span}
	return trace.ContextWithSpan(ctx, span), span
}

// copied is boundedAttributes with the text in memory of its own: what a request's attributes are cut from, such as a
// whole header of which one word counts, may be long.
func copied(attrs []attribute.KeyValue) []attribute.KeyValue {
	attrs = boundedAttributes(attrs)
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

type boundedSpan struct{ trace.Span }

// SetName implements trace.Span.
func (s boundedSpan) SetName(name string) { s.Span.SetName(bounded(name)) }

// SetStatus implements trace.Span.
func (s boundedSpan) SetStatus(code codes.Code, description string) {
	s.Span.SetStatus(code, bounded(description))
}

// SetAttributes implements trace.Span.
func (s boundedSpan) SetAttributes(attrs ...attribute.KeyValue) {
	s.Span.SetAttributes(boundedAttributes(attrs)...)
}

// AddLink implements trace.Span.
func (s boundedSpan) AddLink(l trace.Link) { s.Span.AddLink(boundedLink(l)) }

// AddEvent implements trace.Span.
func (s boundedSpan) AddEvent(name string, opts ...trace.EventOption) {
	config := trace.NewEventConfig(opts...)
	s.Span.AddEvent(bounded(name), trace.WithTimestamp(config.Timestamp()), trace.WithAttributes(boundedAttributes(config.Attributes())...))
}

// RecordError implements trace.Span.
func (s boundedSpan) RecordError(err error, opts ...trace.EventOption) {
	if err != nil {
		s.AddEvent(semconv.ExceptionEventName, append(opts, exception(err))...)
	}
}

// exception is err as the semantic conventions have it in an event.
func exception(err error) trace.EventOption {
	return trace.WithAttributes(semconv.ExceptionType(typeName(err)), semconv.ExceptionMessage(err.Error()))
}

func boundedLink(l trace.Link) trace.Link {
	l.Attributes = boundedAttributes(l.Attributes)
	return l
}
