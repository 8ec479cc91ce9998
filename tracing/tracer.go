package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracer starts the spans of operations. It does what the SDK's tracer does (sampler, parent, links, processors), for
// spans whose shape is known: their attributes come as one list and are kept inside the span, so that a span is one
// piece of memory instead of a dozen, at a fraction of the time. Its spans go to the same processors, and are parents and
// children of the SDK's, as both are ordinary spans in a context.
type tracer struct {
	provider  *sdktrace.TracerProvider
	sampler   sdktrace.Sampler
	byParent  bool // the sampler samples all but what has a parent that is not sampled
	observers []observer
	others    []sdktrace.SpanProcessor // that are no observers
	resource  *resource.Resource
	scope     instrumentation.Scope
	off       bool // nothing is ever recorded: no span is made, and trace context passes through as it came
}

// observer is a span processor that takes the spans of operations as they are.
type observer interface {
	sdktrace.SpanProcessor
	// began is told of a span before anyone else has it.
	began(ctx context.Context, s *span)
	// ended is told of a span that does not change any more: all of it may be read without its lock.
	ended(s *span)
}

// observe adds processors. It must not be called once spans are started.
func (t *tracer) observe(processors ...sdktrace.SpanProcessor) {
	for _, p := range processors {
		if o, ok := p.(observer); ok {
			t.observers = append(t.observers, o)
		} else {
			t.others = append(t.others, p)
		}
	}
}

// start starts op's span with the attributes of op, of ctx's connection and of this call, none of them twice, and returns a
// context for what it does. Its parent is ctx's span, if there is one. The span is nil if the tracer is off.
func (t *tracer) start(ctx context.Context, op *operation, attrs ...attr) (context.Context, *span) {
	if t.off {
		return ctx, nil
	}
	return t.startFrom(ctx, time.Now(), op, attrs...)
}

// startFrom is start for an operation that began at the time given.
func (t *tracer) startFrom(ctx context.Context, at time.Time, op *operation, attrs ...attr) (context.Context, *span) {
	if t.off {
		return ctx, nil
	}
	s := t.startAt(ctx, at, op, attrs...)
	return trace.ContextWithSpan(ctx, s), s
}

// startAt is start for an operation that has no others within it and needs no context: it began at the time given.
func (t *tracer) startAt(ctx context.Context, at time.Time, op *operation, attrs ...attr) *span {
	if t.off {
		return nil
	}
	s := newSpan(op, len(attrs))
	s.tracer, s.op, s.start = t, op, at
	sampled := s.descend(ctx)
	if s.connection == nil {
		s.connection = connectionOf(ctx)
	}
	s.attrs = append(s.attrs, attrs...)
	s.known = uint8(len(s.attrs)) // no operation has that many
	if t.byParent && sampled {
		s.flags |= trace.FlagsSampled
	} else if !s.sample(ctx) {
		return s
	}
	for _, o := range t.observers {
		o.began(ctx, s)
	}
	for _, p := range t.others {
		p.OnStart(ctx, s)
	}
	return s
}

// descend makes s a child of ctx's span, of the same trace, or else the first of a new one. It reports whether
// there is no parent that is not sampled.
func (s *span) descend(ctx context.Context) (sampled bool) {
	binary.NativeEndian.PutUint64(s.id[:], rand.Uint64()|1) // an id of zeros is none
	parent := trace.SpanFromContext(ctx)
	if p, ok := parent.(*span); ok {
		s.trace, s.parent, s.connection, s.state, s.among = p.trace, p.id, p.connection, p.state, p.among
		s.parentFlags = p.flags
		// A clock that is set while a trace is under way does not take its spans apart: all are by the first one's.
		s.start = p.start.Add(s.start.Sub(p.start))
		s.flags = p.flags &^ trace.FlagsSampled
		return p.flags.IsSampled()
	}
	sc := parent.SpanContext()
	s.trace, s.parent, s.remote = sc.TraceID(), sc.SpanID(), sc.IsRemote()
	s.setTraceState(sc.TraceState())
	s.parentFlags = sc.TraceFlags()
	s.flags = sc.TraceFlags() &^ trace.FlagsSampled
	if s.trace.IsValid() {
		return sc.IsSampled()
	}
	binary.NativeEndian.PutUint64(s.trace[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(s.trace[8:], rand.Uint64()|1)
	return true
}

// sample asks the sampler, and reports whether s is recorded.
func (s *span) sample(ctx context.Context) bool {
	// Samplers are shown what tells one span of the operation from another.
	shown := make([]attribute.KeyValue, 0, len(s.attrs)+1)
	decision := s.tracer.sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: ctx, TraceID: s.trace, Name: s.op.span, Kind: s.op.kind, Attributes: s.own(shown),
	})
	s.setTraceState(decision.Tracestate)
	switch decision.Decision {
	case sdktrace.RecordAndSample:
		s.flags |= trace.FlagsSampled
	case sdktrace.Drop:
		s.over = true
		return false
	}
	return true
}
