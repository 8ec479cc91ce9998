package live

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// Bounds of what is kept, besides the number of traces.
const (
	maxTraceSpans = 256     // spans of one trace: the older half is dropped when there are more
	meanSpans     = 8       // spans for each trace that a group may keep, on average
	meanBytes     = 1 << 10 // for each of these spans, on average
	leastBytes    = 1 << 20 // for the spans of a group, however few traces it may keep
	growth        = 192     // bytes that a span is expected to take more when it ends
)

// Group is one of the groups in which traces are kept. Each has room of its own, so that many traces of one do not push out those
// of another.
type Group struct {
	Name   string
	Traces int // how many traces are kept; about eight times as many spans, of 1 KiB each
}

// Config is what a Store is made of. Table and one Group are required.
type Config struct {
	Table *span.Table
	// Groups are those that Operations name. A trace is of the group of its first span here, or of the last Group.
	Groups []Group
	// Notice says why nothing is recorded. If it is empty, traces are.
	Notice string
	// Room, Client and Event are the keys of attributes that summaries show.
	Room, Client, Event attribute.Key
	// Enter and Exit return the lines that the trace log has of a span, which has ended when Exit is called.
	Enter, Exit func(sdktrace.ReadOnlySpan) []byte
	// Export returns spans in a form that tools for traces read.
	Export func([]sdktrace.ReadOnlySpan) ([]byte, error)
	// Read returns the counts from which Numbers are made; Latencies are the upper bounds of the buckets in which it counts them.
	Read      func() Reading
	Latencies []float64 // seconds
}

// Store keeps the newest traces. Its methods may be called from any goroutine.
//
// mu guards what follows it, and the kept traces. It is locked before a span's own lock. begin is the only writer.
type Store struct {
	config Config
	rates  rates

	viewers atomic.Int32
	closing chan struct{} // closed when Viewers must end
	close   sync.Once

	mu    sync.Mutex
	byID  map[trace.TraceID]*keptTrace
	kept  []traceList // by group
	clock uint64      // spans begun; the time by which traces are newer than others
	// dropped because there was no more room for them
	droppedTraces, droppedSpans uint64
}

// traceList is the traces of one group, in the order of their last change.
type traceList struct {
	newest, oldest *keptTrace
	traces, spans  int
	bytes          int // that the spans take
	most           int // traces
}

// keptTrace is the spans of a trace in the order in which they began.
type keptTrace struct {
	id           trace.TraceID
	group        int
	changed      uint64 // Store.clock when a span began last
	dropped      int    // spans
	spans        []sdktrace.ReadWriteSpan
	sizes        []uint32 // of the spans, in bytes
	bytes        int      // all sizes
	newer, older *keptTrace
}

var (
	_ span.Observer          = (*Store)(nil)
	_ sdktrace.SpanProcessor = (*Store)(nil)
)

// New returns a Store.
func New(c Config) *Store {
	s := &Store{config: c, closing: make(chan struct{}), byID: make(map[trace.TraceID]*keptTrace), kept: make([]traceList, len(c.Groups))}
	for i, g := range c.Groups {
		s.kept[i].most = g.Traces
	}
	return s
}

// groupOf returns the group of a trace by the name of its first span here.
func (s *Store) groupOf(name string) int {
	last := len(s.config.Groups) - 1
	if op := s.config.Table.Operation(name); op != nil {
		for i := range last {
			if s.config.Groups[i].Name == op.Group {
				return i
			}
		}
	}
	return last
}

// Began implements span.Observer.
func (s *Store) Began(_ context.Context, o *span.Span) {
	s.begin(o.TraceID(), o, uint32(o.StartSize()+growth))
}

// Ended implements span.Observer. Few spans have grown by more than was expected.
func (s *Store) Ended(o *span.Span) {
	if size := span.Size(o); size > o.StartSize()+growth {
		s.grown(o.TraceID(), o.SpanID(), uint32(size))
	}
}

// OnStart implements sdktrace.SpanProcessor, for the spans of libraries.
func (s *Store) OnStart(_ context.Context, o sdktrace.ReadWriteSpan) {
	s.begin(o.SpanContext().TraceID(), o, uint32(span.Size(o)+growth))
}

// OnEnd implements sdktrace.SpanProcessor. The span that is kept knows that it has ended.
func (s *Store) OnEnd(o sdktrace.ReadOnlySpan) {
	s.grown(o.SpanContext().TraceID(), o.SpanContext().SpanID(), uint32(span.Size(o)))
}

// Shutdown implements sdktrace.SpanProcessor, and does nothing.
func (*Store) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor, and does nothing.
func (*Store) ForceFlush(context.Context) error { return nil }

// begin keeps a span of the trace with this id.
func (s *Store) begin(id trace.TraceID, o sdktrace.ReadWriteSpan, size uint32) {
	s.mu.Lock()
	s.clock++
	t := s.byID[id]
	if t == nil {
		t = s.place(id, s.groupOf(o.Name()))
	} else if list := &s.kept[t.group]; list.newest != t {
		list.remove(t)
		list.add(t)
	}
	t.changed = s.clock
	if len(t.spans) == maxTraceSpans {
		s.halve(t)
	}
	t.spans, t.sizes = append(t.spans, o), append(t.sizes, size)
	t.bytes += int(size)
	list := &s.kept[t.group]
	list.spans++
	list.bytes += int(size)
	s.fit(list)
	s.mu.Unlock()
}

// grown notes that the span with this id has grown to this size.
func (s *Store) grown(id trace.TraceID, spanID trace.SpanID, size uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.byID[id]
	if t == nil {
		return
	}
	for i := len(t.spans) - 1; i >= 0; i-- {
		if t.spans[i].SpanContext().SpanID() != spanID {
			continue
		}
		if more := int(size) - int(t.sizes[i]); more > 0 {
			list := &s.kept[t.group]
			t.sizes[i] = size
			t.bytes += more
			list.bytes += more
			s.fit(list)
		}
		return
	}
}

// fit drops the oldest traces until the list is within its bounds. It keeps the last span of the newest trace. mu is held.
func (s *Store) fit(list *traceList) {
	for {
		heavy := list.bytes > list.mostBytes()
		switch {
		case !heavy && list.spans <= list.most*meanSpans:
			return
		case list.oldest != list.newest:
			s.evict(list)
		case heavy && len(list.newest.spans) > 1:
			s.halve(list.newest)
		default:
			return
		}
	}
}

// place adds a trace to its group. If the group is full, the trace takes the memory of the oldest one, which saves three allocations of
// 220 bytes together for each trace (BenchmarkBegin). mu is held.
func (s *Store) place(id trace.TraceID, group int) *keptTrace {
	list := &s.kept[group]
	var t *keptTrace
	if list.traces >= list.most {
		t = s.evict(list)
	} else {
		t = &keptTrace{spans: make([]sdktrace.ReadWriteSpan, 0, 6), sizes: make([]uint32, 0, 6)}
	}
	t.id, t.group, t.dropped = id, group, 0
	s.byID[id] = t
	list.add(t)
	list.traces++
	return t
}

// evict drops the oldest trace of the list and returns it, empty. mu is held.
func (s *Store) evict(list *traceList) *keptTrace {
	t := list.oldest
	list.remove(t)
	list.traces--
	list.spans -= len(t.spans)
	list.bytes -= t.bytes
	s.droppedTraces++
	s.droppedSpans += uint64(len(t.spans))
	delete(s.byID, t.id)
	clear(t.spans)
	t.spans, t.sizes, t.bytes = t.spans[:0], t.sizes[:0], 0
	return t
}

// halve drops the older half of the spans of a trace. mu is held.
func (s *Store) halve(t *keptTrace) {
	gone, bytes := len(t.spans)/2, 0
	for _, size := range t.sizes[:gone] {
		bytes += int(size)
	}
	t.spans, t.sizes = slices.Delete(t.spans, 0, gone), slices.Delete(t.sizes, 0, gone)
	t.bytes -= bytes
	t.dropped += gone
	list := &s.kept[t.group]
	list.spans -= gone
	list.bytes -= bytes
	s.droppedSpans += uint64(gone)
}

// mostBytes returns how many bytes the spans of the list's traces may take.
func (list *traceList) mostBytes() int {
	return max(leastBytes, list.most*meanSpans*meanBytes)
}

func (list *traceList) add(t *keptTrace) {
	t.newer, t.older = nil, list.newest
	if list.newest != nil {
		list.newest.newer = t
	} else {
		list.oldest = t
	}
	list.newest = t
}

func (list *traceList) remove(t *keptTrace) {
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		list.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		list.oldest = t.newer
	}
	t.newer, t.older = nil, nil
}

// taken is what was in memory of a trace when it was looked at. Its spans go on changing until they end.
type taken struct {
	id      trace.TraceID
	group   int
	changed uint64
	dropped int
	spans   []sdktrace.ReadWriteSpan
}

// take copies t. mu is held.
func (t *keptTrace) take() taken {
	return taken{t.id, t.group, t.changed, t.dropped, slices.Clone(t.spans)}
}

// since returns the traces in which a span began after the time clock, the newest first: at most most of each group. changed
// is how many there were in all groups; now is the time up to which this holds.
func (s *Store) since(clock uint64, most int) (traces []taken, changed int, now uint64) {
	s.mu.Lock()
	for i := range s.kept {
		n := 0
		for t := s.kept[i].newest; t != nil && t.changed > clock; t = t.older {
			if n++; n <= most {
				traces = append(traces, t.take())
			}
		}
		changed += n
	}
	now = s.clock
	s.mu.Unlock()
	slices.SortFunc(traces, func(a, b taken) int { return cmp.Compare(b.changed, a.changed) })
	return traces, changed, now
}

// trace returns what is in memory of one trace.
func (s *Store) trace(id trace.TraceID) (t taken, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, ok := s.byID[id]
	if !ok {
		return taken{}, false
	}
	return kept.take(), true
}

// Counts says how much is in memory, and how much is not any more.
type Counts struct {
	Traces, Spans               int
	DroppedTraces, DroppedSpans uint64
}

// Counts returns how much is in memory, and how much was dropped because there was no more room for it.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Counts{DroppedTraces: s.droppedTraces, DroppedSpans: s.droppedSpans}
	for i := range s.kept {
		c.Traces += s.kept[i].traces
		c.Spans += s.kept[i].spans
	}
	return c
}

// Notice returns why nothing is recorded. If it is empty, traces are.
func (s *Store) Notice() string { return s.config.Notice }

// NotFoundError says that a trace is not in memory. Its text is meant for whoever asked for it.
type NotFoundError struct{ text string }

// Error implements error.
func (e *NotFoundError) Error() string { return e.text }

// find returns what is in memory of the trace with this id in hexadecimal, or a *NotFoundError.
func (s *Store) find(id string) (taken, error) {
	var key trace.TraceID
	if b, err := hex.DecodeString(id); err != nil || len(b) != len(key) {
		return taken{}, &NotFoundError{"a trace id is 32 hexadecimal digits"}
	} else {
		copy(key[:], b)
	}
	t, ok := s.trace(key)
	switch {
	case ok:
		return t, nil
	case s.config.Notice != "":
		return taken{}, &NotFoundError{s.config.Notice}
	}
	return taken{}, &NotFoundError{"trace " + key.String() + " is not in memory, or not any more"}
}
