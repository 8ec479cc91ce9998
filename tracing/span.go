package tracing

import (
	"context"
	"fmt"
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
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
)

// span is a span of an operation. It implements sdktrace.ReadWriteSpan; its methods may be called from any goroutine. A
// nil span is that of a tracer that is off: set, end, AddEvent and traceContext take it.
//
// Fields above mu do not change once the span is started, those below it not once it is over; until then mu guards
// them. What readers are handed of a span is never changed in place, only added to.
type span struct {
	sdktrace.ReadWriteSpan // nil: the interface has methods that only the SDK can write

	tracer      *tracer
	op          *operation
	connection  *connection // nil: of none
	trace       trace.TraceID
	id, parent  trace.SpanID
	flags       trace.TraceFlags
	parentFlags trace.TraceFlags
	remote      bool              // the parent is of another process
	known       uint8             // how many attributes it started with
	weight      uint32            // in bytes, as live has noted it
	state       *trace.TraceState // nil: none
	start       time.Time
	among       *liveTrace // the trace among the newest; live's

	mu    sync.Mutex
	over  bool // it has ended, or was never recorded
	took  time.Duration
	attrs []attr
	rare  *rarely
}

// rarely is what few spans have.
type rarely struct {
	foreign []attribute.KeyValue // attributes that no operation has
	events  []sdktrace.Event
	dropped int             // events
	links   []sdktrace.Link // besides that to the connect span
	status  sdktrace.Status
}

// newSpan returns a span in one piece of memory with its attributes, of which it starts with so many, unless it turns out to
// have more than the spans of its operation mostly have.
func newSpan(op *operation, attrs int) *span {
	if op.many || attrs+op.gains > few {
		s := &struct {
			span
			room [10]attr
		}{}
		s.attrs = s.room[:0]
		return &s.span
	}
	s := &struct {
		span
		room [few]attr
	}{}
	s.attrs = s.room[:0]
	return &s.span
}

// few is how many attributes fit in the spans of most operations.
const few = 6

var _ sdktrace.ReadWriteSpan = (*span)(nil)

// maxEvents bounds a span's events, as the SDK's default does.
const maxEvents = 128

// put sets an attribute. mu is held, or nobody else has the span.
func (s *span) put(a attr) {
	for i := range s.attrs {
		if s.attrs[i].key == a.key {
			s.attrs[i] = a
			return
		}
	}
	s.attrs = append(s.attrs, a)
}

// add sets an attribute that no operation has. mu is held, or nobody else has the span.
func (s *span) add(kv attribute.KeyValue) {
	kv.Value = boundedValue(kv.Value)
	r := s.rarely()
	if i := slices.IndexFunc(r.foreign, func(old attribute.KeyValue) bool { return old.Key == kv.Key }); i >= 0 {
		r.foreign = slices.Clone(r.foreign)
		r.foreign[i] = kv
		return
	}
	r.foreign = append(r.foreign, kv)
}

// rarely returns the place for what few spans have. mu is held, or nobody else has the span.
func (s *span) rarely() *rarely {
	if s.rare == nil {
		s.rare = new(rarely)
	}
	return s.rare
}

// set sets attributes.
func (s *span) set(attrs ...attr) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	for _, a := range attrs {
		s.put(a)
	}
}

// end ends the span now, as failed if err is not nil.
func (s *span) end(err error) {
	if s != nil {
		// To read the monotonic clock alone takes half as long as time.Now.
		s.endAt(s.start.Add(time.Since(s.start)), err)
	}
}

// endAt is end at the time given, after setting attributes.
func (s *span) endAt(at time.Time, err error, attrs ...attr) {
	if s == nil {
		return
	}
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return
	}
	for _, a := range attrs {
		s.put(a)
	}
	if err != nil {
		s.put(keyErrorType.text(string(rooms.AsError(err).Code)))
		s.setStatus(codes.Error, err.Error())
	}
	// By the monotonic clock, if both times have it: the other may be set while the span is open.
	s.took = max(0, at.Sub(s.start))
	s.over = true
	s.mu.Unlock()
	for _, o := range s.tracer.observers {
		o.ended(s)
	}
	for _, p := range s.tracer.others {
		p.OnEnd(s)
	}
}

// End implements trace.Span.
func (s *span) End(opts ...trace.SpanEndOption) {
	config := trace.NewSpanEndConfig(opts...)
	at := config.Timestamp()
	if at.IsZero() {
		at = time.Now()
	}
	s.endAt(at, nil)
}

// traceContext is the span's context in textual form, for what goes on elsewhere. Where there is no span, trace context
// passes through as it came in ctx.
func (s *span) traceContext(ctx context.Context) rooms.TraceContext {
	if s == nil {
		return Inject(ctx)
	}
	return traceContext(s.trace, s.id, s.flags, s.traceState())
}

// SetAttributes implements trace.Span.
func (s *span) SetAttributes(attrs ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	for _, kv := range attrs {
		if a, ok := attrOf(kv); ok {
			s.put(a)
		} else {
			s.add(kv)
		}
	}
}

// SetStatus implements trace.Span. Ok outweighs Error, and Error outweighs Unset.
func (s *span) SetStatus(code codes.Code, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.setStatus(code, description)
	}
}

// setStatus is SetStatus with mu held.
func (s *span) setStatus(code codes.Code, description string) {
	r := s.rarely()
	if r.status.Code > code {
		return
	}
	if code != codes.Error {
		description = ""
	}
	r.status = sdktrace.Status{Code: code, Description: bounded(description)}
}

// AddEvent implements trace.Span.
func (s *span) AddEvent(name string, opts ...trace.EventOption) {
	if s == nil {
		return
	}
	config := trace.NewEventConfig(opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	r := s.rarely()
	if len(r.events) == maxEvents {
		r.dropped++
		return
	}
	r.events = append(r.events, sdktrace.Event{Name: bounded(name), Attributes: boundedAttributes(config.Attributes()), Time: config.Timestamp()})
}

// RecordError implements trace.Span, as an event in the form of the semantic conventions.
func (s *span) RecordError(err error, opts ...trace.EventOption) {
	if err == nil {
		return
	}
	s.AddEvent(semconv.ExceptionEventName, append(opts, exception(err))...)
}

// AddLink implements trace.Span.
func (s *span) AddLink(l trace.Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		r := s.rarely()
		r.links = append(r.links, sdktrace.Link{SpanContext: l.SpanContext, Attributes: boundedAttributes(l.Attributes)})
	}
}

// SetName implements trace.Span. The name of an operation's span does not change.
func (*span) SetName(string) {}

// IsRecording implements trace.Span.
func (s *span) IsRecording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over
}

// SpanContext implements trace.Span. That of a nil span is of no trace.
func (s *span) SpanContext() trace.SpanContext {
	if s == nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: s.trace, SpanID: s.id, TraceFlags: s.flags, TraceState: s.traceState()})
}

func (s *span) traceState() trace.TraceState {
	if s.state == nil {
		return trace.TraceState{}
	}
	return *s.state
}

func (s *span) setTraceState(state trace.TraceState) {
	s.state = nil
	if state.Len() > 0 {
		kept := state // so that no memory is taken where there is none
		s.state = &kept
	}
}

// TracerProvider implements trace.Span.
func (s *span) TracerProvider() trace.TracerProvider { return s.tracer.provider }

// Name implements sdktrace.ReadOnlySpan.
func (s *span) Name() string { return s.op.span }

// Parent implements sdktrace.ReadOnlySpan.
func (s *span) Parent() trace.SpanContext {
	if !s.parent.IsValid() {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: s.trace, SpanID: s.parent, TraceFlags: s.parentFlags, TraceState: s.traceState(), Remote: s.remote,
	})
}

// SpanKind implements sdktrace.ReadOnlySpan.
func (s *span) SpanKind() trace.SpanKind { return s.op.kind }

// StartTime implements sdktrace.ReadOnlySpan.
func (s *span) StartTime() time.Time { return s.start }

// EndTime implements sdktrace.ReadOnlySpan; it is zero until the span has ended.
func (s *span) EndTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		return time.Time{}
	}
	return s.start.Add(s.took)
}

// Attributes implements sdktrace.ReadOnlySpan.
func (s *span) Attributes() []attribute.KeyValue {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.own(make([]attribute.KeyValue, 0, 20)), s.op.attrs...)
	if s.connection != nil {
		all = append(all, s.connection.shared.attrs[s.op.shares]...)
	}
	return all
}

// own appends the attributes that the span does not share with others of its operation or, but for the
// connection's id, its connection. mu is held, or the span does not change.
func (s *span) own(all []attribute.KeyValue) []attribute.KeyValue {
	for i := range s.attrs {
		all = append(all, s.attrs[i].keyValue())
	}
	if s.connection != nil {
		all = append(all, keyConnection.name.String(s.connection.id))
	}
	if s.rare != nil {
		all = append(all, s.rare.foreign...)
	}
	return all
}

// Links implements sdktrace.ReadOnlySpan.
func (s *span) Links() []sdktrace.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links()
}

// links is Links with mu held, or of a span that does not change.
func (s *span) links() []sdktrace.Link {
	var links []sdktrace.Link
	if s.op.linked && s.connection != nil {
		links = s.connection.links
	}
	if s.rare != nil && len(s.rare.links) > 0 {
		return slices.Concat(links, s.rare.links)
	}
	return slices.Clip(links)
}

// rest is what few spans have, as it is now.
func (s *span) rest() rarely {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rare == nil {
		return rarely{}
	}
	return *s.rare
}

// Events implements sdktrace.ReadOnlySpan.
func (s *span) Events() []sdktrace.Event { return slices.Clip(s.rest().events) }

// Status implements sdktrace.ReadOnlySpan.
func (s *span) Status() sdktrace.Status { return s.rest().status }

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
func (s *span) DroppedEvents() int { return s.rest().dropped }

// ChildSpanCount implements sdktrace.ReadOnlySpan. Children are not counted: who wants to know has the trace.
func (*span) ChildSpanCount() int { return 0 }

// fault logs what a client is told no more of than that the server could not do it.
func (t *Telemetry) fault(span *span, err error) {
	if err == nil {
		return
	}
	if e := rooms.AsError(err); e.Code == rooms.CodeUnavailable && e.Cause != nil {
		fields := []zap.Field{zap.Error(e.Cause)}
		if span != nil {
			fields = append(fields, zap.Stringer("trace_id", span.trace))
		}
		t.log.Error(e.Detail, fields...)
	}
}

// endOf is when s ended, which is never before it started, or zero if it has not ended. Who ends a span of a library may say
// when, by whatever clock.
func endOf(s sdktrace.ReadOnlySpan) time.Time {
	end := s.EndTime()
	if end.IsZero() {
		return end
	}
	start := s.StartTime()
	return start.Add(max(0, end.Sub(start)))
}

// typeName is the type of err as the semantic conventions have it in exception.type.
func typeName(err error) string { return fmt.Sprintf("%T", err) }
