package span

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

// Config is what a Tracer is made of. Table and Sampler are required.
type Config struct {
	Table   *Table
	Sampler sdktrace.Sampler
	// Observers are told of every span, in this order.
	Observers []Observer
	// Processors are told of every span after the Observers, through the interfaces of the SDK.
	Processors []sdktrace.SpanProcessor
	// ErrorType returns the attribute that says of which type an error is that a span ended with. Required if Finish is given any.
	ErrorType func(error) Attr
	Resource  *resource.Resource // what spans are of, for Processors
	Scope     instrumentation.Scope
	Provider  trace.TracerProvider // what spans give as their TracerProvider
	// Off says that nothing is ever recorded: all spans are nil, and trace context passes through as it came.
	Off bool
}

// Tracer starts the spans of operations. It does what the SDK's tracer does (sampler, parent, links, processors), for spans
// whose shape is declared: their attributes come as one list and are kept inside the span. Its methods may be called
// from any goroutine.
type Tracer struct {
	table      *Table
	sampler    sdktrace.Sampler
	byParent   bool // see samplesByParent
	observers  []Observer
	processors []sdktrace.SpanProcessor
	errorType  func(error) Attr
	resource   *resource.Resource
	scope      instrumentation.Scope
	provider   trace.TracerProvider
	off        bool
}

// NewTracer returns a Tracer.
func NewTracer(c Config) *Tracer {
	return &Tracer{
		table: c.Table, sampler: c.Sampler, byParent: samplesByParent(c.Sampler), observers: c.Observers, processors: c.Processors,
		errorType: c.ErrorType, resource: c.Resource, scope: c.Scope, provider: c.Provider, off: c.Off,
	}
}

// Off reports whether all spans are nil.
func (t *Tracer) Off() bool { return t.off }

// WithScope returns a Tracer whose spans have an instrumentation scope of another name.
func (t *Tracer) WithScope(name string) *Tracer {
	other := *t
	other.scope.Name = name
	return &other
}

// Start starts a span of op, with the attributes of op, of ctx's connection and of this call, none of them given twice. It returns
// the span and a context for what is done within it. The span's parent is ctx's span, if there is one.
func (t *Tracer) Start(ctx context.Context, op *Operation, attrs ...Attr) (context.Context, *Span) {
	if t.off {
		return ctx, nil
	}
	return t.StartFrom(ctx, time.Now(), op, attrs...)
}

// StartFrom is Start for an operation that began at the time given.
func (t *Tracer) StartFrom(ctx context.Context, at time.Time, op *Operation, attrs ...Attr) (context.Context, *Span) {
	if t.off {
		return ctx, nil
	}
	s := t.StartAt(ctx, at, op, attrs...)
	return trace.ContextWithSpan(ctx, s), s
}

// StartAt is StartFrom for an operation within which there are no others: it makes no context.
func (t *Tracer) StartAt(ctx context.Context, at time.Time, op *Operation, attrs ...Attr) *Span {
	if t.off {
		return nil
	}
	s := newSpan(op, len(attrs))
	s.tracer, s.op, s.start = t, op, at
	sampled := s.descend(ctx)
	if s.connection == nil {
		s.connection = ConnectionOf(ctx)
	}
	s.attrs = append(s.attrs, attrs...)
	s.known = uint8(len(s.attrs)) // no operation has that many
	s.size = uint32(s.bytes())
	if t.byParent && sampled {
		s.flags |= trace.FlagsSampled
	} else if !s.sample(ctx) {
		return s
	}
	for _, o := range t.observers {
		o.Began(ctx, s)
	}
	for _, p := range t.processors {
		p.OnStart(ctx, s)
	}
	return s
}

// descend makes s a child of ctx's span, or the first span of a new trace if there is none. It reports whether there is no
// parent, or one that is sampled.
func (s *Span) descend(ctx context.Context) (sampled bool) {
	binary.NativeEndian.PutUint64(s.id[:], rand.Uint64()|1) // an id of zeros is not valid
	parent := trace.SpanFromContext(ctx)
	if p, ok := parent.(*Span); ok {
		s.trace, s.parent, s.connection, s.state = p.trace, p.id, p.connection, p.state
		s.parentFlags = p.flags
		// All spans of a trace go by the wall clock of the first, so that a clock that is set meanwhile does not move them apart.
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
func (s *Span) sample(ctx context.Context) bool {
	// Samplers are shown the attributes in which spans of one operation differ.
	shown := make([]attribute.KeyValue, 0, len(s.attrs)+1)
	decision := s.tracer.sampler.ShouldSample(sdktrace.SamplingParameters{
		ParentContext: ctx, TraceID: s.trace, Name: s.op.Name, Kind: s.op.Kind, Attributes: s.own(shown),
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
