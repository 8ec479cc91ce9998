package span

import (
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Span is a span of an operation. Its methods may be called from any goroutine, but for those in observer.go.
//
// A nil *Span is that of a Tracer that is off. Set, Finish, FinishAt, AddEvent, SpanContext and Propagate accept it.
//
// Fields above mu do not change once the span has started; those below it do not change once it has ended, and until then
// are guarded by mu. Slices that readers are given are never changed in place, only appended to.
type Span struct {
	sdktrace.ReadWriteSpan // nil; it has unexported methods, which only the SDK can implement

	tracer      *Tracer
	op          *Operation
	connection  *Connection // nil: none
	trace       trace.TraceID
	id, parent  trace.SpanID
	flags       trace.TraceFlags
	parentFlags trace.TraceFlags
	remote      bool              // the parent is of another process
	known       uint8             // how many attributes it started with
	size        uint32            // in bytes, when it started
	state       *trace.TraceState // nil: empty
	start       time.Time

	mu    sync.Mutex
	over  bool // it has ended, or was never recorded
	took  time.Duration
	attrs []Attr
	rare  *rarely
}

// rarely is what few spans have.
type rarely struct {
	foreign []attribute.KeyValue // attributes that the table has no key for
	events  []sdktrace.Event
	dropped int             // events
	links   []sdktrace.Link // besides that to the span that opened the connection
	status  sdktrace.Status
}

// put sets an attribute. mu is held, or nobody else has the span.
func (s *Span) put(a Attr) {
	for i := range s.attrs {
		if s.attrs[i].key == a.key {
			s.attrs[i] = a
			return
		}
	}
	s.attrs = append(s.attrs, a)
}

// putForeign sets an attribute that the table has no key for. mu is held, or nobody else has the span.
func (s *Span) putForeign(kv attribute.KeyValue) {
	kv.Value = boundedValue(kv.Value, s.tracer.table.Limits.Text)
	r := s.rarely()
	if i := slices.IndexFunc(r.foreign, func(old attribute.KeyValue) bool { return old.Key == kv.Key }); i >= 0 {
		r.foreign = slices.Clone(r.foreign)
		r.foreign[i] = kv
		return
	}
	r.foreign = append(r.foreign, kv)
}

// rarely returns what few spans have, to be written to. mu is held, or nobody else has the span.
func (s *Span) rarely() *rarely {
	if s.rare == nil {
		s.rare = new(rarely)
	}
	return s.rare
}

// Set sets attributes. It does nothing once the span has ended.
func (s *Span) Set(attrs ...Attr) {
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

// Finish ends the span now, as failed if err is not nil.
func (s *Span) Finish(err error) {
	if s != nil {
		// To read the monotonic clock alone takes half as long as time.Now.
		s.FinishAt(s.start.Add(time.Since(s.start)), err)
	}
}

// FinishAt is Finish at the time given, after setting attributes. A span that has ended does not end again.
func (s *Span) FinishAt(at time.Time, err error, attrs ...Attr) {
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
		s.put(s.tracer.errorType(err))
		s.setStatus(codes.Error, err.Error())
	}
	// The difference is taken from the monotonic clock, if both times have it: the wall clock may be set while the span is open.
	s.took = max(0, at.Sub(s.start))
	s.over = true
	s.mu.Unlock()
	for _, o := range s.tracer.observers {
		o.Ended(s)
	}
	for _, p := range s.tracer.processors {
		p.OnEnd(s)
	}
}

// setStatus is SetStatus with mu held.
func (s *Span) setStatus(code codes.Code, description string) {
	r := s.rarely()
	if r.status.Code > code {
		return
	}
	if code != codes.Error {
		description = ""
	}
	r.status = sdktrace.Status{Code: code, Description: bounded(description, s.tracer.table.Limits.Text)}
}

// links returns all links of the span. mu is held, or the span does not change.
func (s *Span) links() []sdktrace.Link {
	var links []sdktrace.Link
	if s.op.Linked && s.connection != nil {
		links = s.connection.links
	}
	if s.rare != nil && len(s.rare.links) > 0 {
		return slices.Concat(links, s.rare.links)
	}
	return slices.Clip(links)
}

// own appends the attributes of the span that are its own, its connection's id, and those that the table has no key for.
// mu is held, or the span does not change.
func (s *Span) own(all []attribute.KeyValue) []attribute.KeyValue {
	for i := range s.attrs {
		all = append(all, s.attrs[i].KeyValue())
	}
	if s.connection != nil {
		all = append(all, s.connection.id.KeyValue())
	}
	if s.rare != nil {
		all = append(all, s.rare.foreign...)
	}
	return all
}

func (s *Span) traceState() trace.TraceState {
	if s.state == nil {
		return trace.TraceState{}
	}
	return *s.state
}

func (s *Span) setTraceState(state trace.TraceState) {
	s.state = nil
	if state.Len() > 0 {
		kept := state // a copy, so that an empty state costs no allocation
		s.state = &kept
	}
}

// EndOf returns when s ended, never before it started, or the zero time if it has not ended. Whoever ends a span of a
// library may give a time from any clock.
func EndOf(s sdktrace.ReadOnlySpan) time.Time {
	end := s.EndTime()
	if end.IsZero() {
		return end
	}
	start := s.StartTime()
	return start.Add(max(0, end.Sub(start)))
}
