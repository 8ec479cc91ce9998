package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// tracer starts the spans of operations. It does what the SDK's tracer does (sampler, parent, links, processors), for
// spans whose shape is known: their attributes come as one list and are kept inside the span, so that a span is one
// piece of memory instead of a dozen, at a quarter of the time. Its spans go to the same processors, and are parents and
// children of the SDK's, as both are ordinary spans in a context.
type tracer struct {
	provider   *sdktrace.TracerProvider
	sampler    sdktrace.Sampler
	processors []sdktrace.SpanProcessor
	resource   *resource.Resource
	scope      instrumentation.Scope
	off        bool // nothing is ever recorded: no span is made, and trace context passes through as it came
}

// start starts op's span with the attributes of op, of ctx's connection and of this call. Its parent is ctx's span, if
// there is one.
func (t *tracer) start(ctx context.Context, op *operation, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t.off {
		return ctx, trace.SpanFromContext(ctx)
	}
	parent := trace.SpanContextFromContext(ctx)
	config := trace.SpanContextConfig{TraceID: parent.TraceID()}
	if !parent.TraceID().IsValid() {
		binary.NativeEndian.PutUint64(config.TraceID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(config.TraceID[8:], rand.Uint64()|1)
	}
	binary.NativeEndian.PutUint64(config.SpanID[:], rand.Uint64()|1) // an id of zeros is none
	s := &span{tracer: t, op: op, parent: parent, start: time.Now()}
	s.attrs = append(s.inline[:0], attrs...)
	if c := connectionOf(ctx); c != nil {
		s.connection = c
		s.attrs = append(s.attrs, c.name)
		if op.linked {
			s.links = c.links
		}
	}
	// Samplers are shown what tells one span of the operation from another.
	decision := t.sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: ctx, TraceID: config.TraceID, Name: op.span, Kind: op.kind, Attributes: s.attrs,
	})
	config.TraceState = decision.Tracestate
	config.TraceFlags = parent.TraceFlags() &^ trace.FlagsSampled
	if decision.Decision == sdktrace.RecordAndSample {
		config.TraceFlags |= trace.FlagsSampled
	}
	sc := trace.NewSpanContext(config)
	if decision.Decision == sdktrace.Drop {
		ctx = trace.ContextWithSpanContext(ctx, sc)
		return ctx, trace.SpanFromContext(ctx)
	}
	s.context = sc
	for _, p := range t.processors {
		p.OnStart(ctx, s)
	}
	return trace.ContextWithSpan(ctx, s), s
}

// maxEvents bounds a span's events, as the SDK's default does.
const maxEvents = 128

// span is a span of an operation. It implements sdktrace.ReadWriteSpan; its methods may be called from any goroutine.
//
// mu guards what is below it. What readers are handed of it is never changed in place, only added to.
type span struct {
	sdktrace.ReadWriteSpan // nil: the interface has methods that only the SDK can write

	tracer     *tracer
	op         *operation
	connection *connection // nil: of none
	context    trace.SpanContext
	parent     trace.SpanContext
	start      time.Time

	mu      sync.Mutex
	end     time.Time
	attrs   []attribute.KeyValue // besides those of op and connection
	links   []sdktrace.Link
	events  []sdktrace.Event
	dropped int // events
	status  sdktrace.Status

	inline [11]attribute.KeyValue // where attrs begins
}

var _ sdktrace.ReadWriteSpan = (*span)(nil)

// End implements trace.Span.
func (s *span) End(opts ...trace.SpanEndOption) {
	at := time.Now()
	if len(opts) > 0 {
		config := trace.NewSpanEndConfig(opts...)
		if given := config.Timestamp(); !given.IsZero() {
			at = given
		}
	}
	// By the monotonic clock: the other may be set while the span is open.
	end := s.start.Add(at.Sub(s.start))
	s.mu.Lock()
	if !s.end.IsZero() {
		s.mu.Unlock()
		return
	}
	s.end = end
	s.mu.Unlock()
	for _, p := range s.tracer.processors {
		p.OnEnd(s)
	}
}

// SetAttributes implements trace.Span.
func (s *span) SetAttributes(attrs ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		return
	}
	for _, kv := range attrs {
		same := func(old attribute.KeyValue) bool { return old.Key == kv.Key }
		if i := slices.IndexFunc(s.attrs, same); i >= 0 {
			s.attrs = slices.Clone(s.attrs)
			s.attrs[i] = kv
			continue
		}
		s.attrs = append(s.attrs, kv)
	}
}

// SetStatus implements trace.Span. Ok outweighs Error, and Error outweighs Unset.
func (s *span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() || s.status.Code > code {
		return
	}
	if code != codes.Error {
		description = ""
	}
	s.status = sdktrace.Status{Code: code, Description: description}
}

// AddEvent implements trace.Span.
func (s *span) AddEvent(name string, opts ...trace.EventOption) {
	config := trace.NewEventConfig(opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.IsZero() {
		return
	}
	if len(s.events) == maxEvents {
		s.dropped++
		return
	}
	s.events = append(s.events, sdktrace.Event{Name: name, Attributes: config.Attributes(), Time: config.Timestamp()})
}

// RecordError implements trace.Span, as an event in the form of the semantic conventions.
func (s *span) RecordError(err error, opts ...trace.EventOption) {
	if err == nil {
		return
	}
	s.AddEvent(semconv.ExceptionEventName, append(opts, trace.WithAttributes(
		semconv.ExceptionType(typeName(err)), semconv.ExceptionMessage(err.Error())))...)
}

// AddLink implements trace.Span. The links that a span starts with are shared: these are copied.
func (s *span) AddLink(l trace.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.IsZero() {
		s.links = append(slices.Clone(s.links), sdktrace.Link{SpanContext: l.SpanContext, Attributes: l.Attributes})
	}
}

// SetName implements trace.Span. The name of an operation's span does not change.
func (*span) SetName(string) {}

// IsRecording implements trace.Span.
func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.IsZero()
}

// SpanContext implements trace.Span.
func (s *span) SpanContext() trace.SpanContext { return s.context }

// TracerProvider implements trace.Span.
func (s *span) TracerProvider() trace.TracerProvider { return s.tracer.provider }

// Name implements sdktrace.ReadOnlySpan.
func (s *span) Name() string { return s.op.span }

// Parent implements sdktrace.ReadOnlySpan.
func (s *span) Parent() trace.SpanContext { return s.parent }

// SpanKind implements sdktrace.ReadOnlySpan.
func (s *span) SpanKind() trace.SpanKind { return s.op.kind }

// StartTime implements sdktrace.ReadOnlySpan.
func (s *span) StartTime() time.Time { return s.start }

// EndTime implements sdktrace.ReadOnlySpan; it is zero until the span has ended.
func (s *span) EndTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s *span) Attributes() []attribute.KeyValue {
	all := slices.Concat(s.own(), s.op.attrs)
	if s.connection != nil {
		all = append(all, s.connection.attrs...)
	}
	return all
}

// own is the attributes that the span does not share with others of its operation or connection. They are all that the
// trace log tells.
func (s *span) own() []attribute.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.attrs)
}

// ownAttributes is own of ours, and all attributes of other spans.
func ownAttributes(s sdktrace.ReadOnlySpan) []attribute.KeyValue {
	if ours, ok := s.(*span); ok {
		return ours.own()
	}
	return s.Attributes()
}

// Links implements sdktrace.ReadOnlySpan.
func (s *span) Links() []sdktrace.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.links)
}

// Events implements sdktrace.ReadOnlySpan.
func (s *span) Events() []sdktrace.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clip(s.events)
}

// Status implements sdktrace.ReadOnlySpan.
func (s *span) Status() sdktrace.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// InstrumentationScope implements sdktrace.ReadOnlySpan.
func (s *span) InstrumentationScope() instrumentation.Scope { return s.tracer.scope }

// InstrumentationLibrary implements sdktrace.ReadOnlySpan.
func (s *span) InstrumentationLibrary() instrumentation.Scope { return s.tracer.scope }

// Resource implements sdktrace.ReadOnlySpan.
func (s *span) Resource() *resource.Resource { return s.tracer.resource }

// DroppedAttributes implements sdktrace.ReadOnlySpan: none ever are.
func (*span) DroppedAttributes() int { return 0 }

// DroppedLinks implements sdktrace.ReadOnlySpan: none ever are.
func (*span) DroppedLinks() int { return 0 }

// DroppedEvents implements sdktrace.ReadOnlySpan.
func (s *span) DroppedEvents() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// ChildSpanCount implements sdktrace.ReadOnlySpan. Children are not counted: who wants to know has the trace.
func (*span) ChildSpanCount() int { return 0 }
