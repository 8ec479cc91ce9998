package tracing

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of what is kept of the newest traces, besides their number.
const (
	liveTraceSpans = 256     // spans of one trace: the older half is let go of when there are more
	liveMeanSpans  = 8       // spans for each trace that may be kept, on average
	liveMeanBytes  = 1 << 10 // for each of these spans, on average
	liveLeastBytes = 1 << 20 // for the spans of a kind of traces, however few of these may be kept
	liveViewers    = 32      // streams at once
)

// liveKind is what a trace began with. Each kind has room of its own, so that a busy room does not push out the
// connections that its messages are linked to.
type liveKind int

const (
	liveMessages liveKind = iota
	liveConnections
	liveRequests
	liveKinds
)

var liveKindNames = [liveKinds]string{"messages", "connections", "requests"}

// liveKindOf tells the kind of a trace by the name of its first span here.
func liveKindOf(name string) liveKind {
	switch name {
	case opReceive.span, opAppend.span, opBroadcast.span, opRelay.span, opDeliver.span:
		return liveMessages
	case opConnectWS.span, opConnectSIO.span, opJoin.span, opLeave.span, opDisconnect.span:
		return liveConnections
	}
	return liveRequests
}

// live is the span processor that keeps the newest traces in memory for those who look: their spans as they are, open
// ones included. A span costs what it takes to note a reference to it; all else is done when somebody asks.
//
// mu guards what follows it, and the traces. Lock order: live.mu, then a span's own. begin is the only writer.
type live struct {
	metrics  *metrics
	resource *resource.Resource
	notice   string // why nothing is kept; empty: it is
	rates    rates

	viewers atomic.Int32
	closing chan struct{} // closed when streams must end
	close   sync.Once

	mu    sync.Mutex
	byID  map[trace.TraceID]*liveTrace
	kept  [liveKinds]liveList
	clock uint64 // spans begun; the time by which traces are newer than others
	// what there was no more room for
	letGoTraces, letGoSpans uint64
}

// liveList is the traces of one kind, in the order of their last change.
type liveList struct {
	newest, oldest *liveTrace
	traces, spans  int
	bytes          int // that the spans take
	most           int // traces
}

// liveTrace is the spans of a trace in the order in which they began.
type liveTrace struct {
	id           trace.TraceID
	kind         liveKind
	changed      uint64 // live.clock when a span began last
	letGo        int    // spans
	spans        []sdktrace.ReadWriteSpan
	weights      []uint32 // of the spans, in bytes
	bytes        int      // all weights
	newer, older *liveTrace
}

var _ sdktrace.SpanProcessor = (*live)(nil)

// newLive keeps the newest traces that began with a message, and half as many each that began with a connection and
// with anything else.
func newLive(traces int, m *metrics, res *resource.Resource, notice string) *live {
	l := &live{metrics: m, resource: res, notice: notice, closing: make(chan struct{}), byID: make(map[trace.TraceID]*liveTrace)}
	l.kept[liveMessages].most = traces
	l.kept[liveConnections].most = (traces + 1) / 2
	l.kept[liveRequests].most = (traces + 1) / 2
	return l
}

// OnStart implements sdktrace.SpanProcessor.
func (l *live) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	l.begin(s.SpanContext().TraceID(), nil, s, uint32(weigh(s)+liveGrowth))
}

// began implements observer.
func (l *live) began(_ context.Context, s *span) {
	s.weight = uint32(s.weigh() + liveGrowth)
	s.among = l.begin(s.trace, s.among, s, s.weight)
}

// ended implements observer. Few spans have grown by more than was allowed for.
func (l *live) ended(s *span) {
	if weight := uint32(s.weigh()); weight > s.weight {
		l.grown(s.trace, s.id, weight)
	}
}

// begin notes a span of the trace with this id, and returns where; if it is known where its parent is, that spares a
// search.
func (l *live) begin(id trace.TraceID, t *liveTrace, s sdktrace.ReadWriteSpan, weight uint32) *liveTrace {
	l.mu.Lock()
	l.clock++
	if t == nil || t.id != id { // it has been let go of since
		t = l.byID[id]
	}
	if t == nil {
		t = l.place(id, liveKindOf(s.Name()))
	} else if list := &l.kept[t.kind]; list.newest != t {
		list.remove(t)
		list.add(t)
	}
	t.changed = l.clock
	if len(t.spans) == liveTraceSpans {
		l.halve(t)
	}
	t.spans, t.weights = append(t.spans, s), append(t.weights, weight)
	t.bytes += int(weight)
	list := &l.kept[t.kind]
	list.spans++
	list.bytes += int(weight)
	l.fit(list)
	l.mu.Unlock()
	return t
}

// grown notes that the span with this id has come to weigh so much.
func (l *live) grown(id trace.TraceID, span trace.SpanID, weight uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.byID[id]
	if t == nil {
		return
	}
	for i := len(t.spans) - 1; i >= 0; i-- {
		if t.spans[i].SpanContext().SpanID() != span {
			continue
		}
		if more := int(weight) - int(t.weights[i]); more > 0 {
			list := &l.kept[t.kind]
			t.weights[i] = weight
			t.bytes += more
			list.bytes += more
			l.fit(list)
		}
		return
	}
}

// fit lets go of the oldest traces until the list is within its bounds. Of the newest trace the last span stays. mu is held.
func (l *live) fit(list *liveList) {
	for {
		heavy := list.bytes > list.mostBytes()
		switch {
		case !heavy && list.spans <= list.most*liveMeanSpans:
			return
		case list.oldest != list.newest:
			l.evict(list)
		case heavy && len(list.newest.spans) > 1:
			l.halve(list.newest)
		default:
			return
		}
	}
}

// OnEnd implements sdktrace.SpanProcessor. The span that is kept knows that it has ended.
func (l *live) OnEnd(s sdktrace.ReadOnlySpan) {
	l.grown(s.SpanContext().TraceID(), s.SpanContext().SpanID(), uint32(weigh(s)))
}

// Shutdown implements sdktrace.SpanProcessor.
func (*live) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (*live) ForceFlush(context.Context) error { return nil }

// place makes place for a trace. mu is held.
func (l *live) place(id trace.TraceID, kind liveKind) *liveTrace {
	list := &l.kept[kind]
	var t *liveTrace
	if list.traces >= list.most {
		t = l.evict(list)
	} else {
		t = &liveTrace{spans: make([]sdktrace.ReadWriteSpan, 0, 6), weights: make([]uint32, 0, 6)}
	}
	t.id, t.kind, t.letGo = id, kind, 0
	l.byID[id] = t
	list.add(t)
	list.traces++
	return t
}

// evict lets go of the oldest trace and returns it, empty. mu is held.
func (l *live) evict(list *liveList) *liveTrace {
	t := list.oldest
	list.remove(t)
	list.traces--
	list.spans -= len(t.spans)
	list.bytes -= t.bytes
	l.letGoTraces++
	l.letGoSpans += uint64(len(t.spans))
	delete(l.byID, t.id)
	t.id = trace.TraceID{} // so that spans that know of it do not take it for theirs
	clear(t.spans)
	t.spans, t.weights, t.bytes = t.spans[:0], t.weights[:0], 0
	return t
}

// halve lets go of the older half of a trace that goes on and on. mu is held.
func (l *live) halve(t *liveTrace) {
	gone, bytes := len(t.spans)/2, 0
	for _, weight := range t.weights[:gone] {
		bytes += int(weight)
	}
	t.spans, t.weights = slices.Delete(t.spans, 0, gone), slices.Delete(t.weights, 0, gone)
	t.bytes -= bytes
	t.letGo += gone
	list := &l.kept[t.kind]
	list.spans -= gone
	list.bytes -= bytes
	l.letGoSpans += uint64(gone)
}

// mostBytes is what the spans of the list's traces may take.
func (list *liveList) mostBytes() int {
	return max(liveLeastBytes, list.most*liveMeanSpans*liveMeanBytes)
}

func (list *liveList) add(t *liveTrace) {
	t.newer, t.older = nil, list.newest
	if list.newest != nil {
		list.newest.newer = t
	} else {
		list.oldest = t
	}
	list.newest = t
}

func (list *liveList) remove(t *liveTrace) {
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

// takenTrace is what was in memory of a trace when it was looked at. Its spans go on changing until they end.
type takenTrace struct {
	id      trace.TraceID
	kind    liveKind
	changed uint64
	letGo   int
	spans   []sdktrace.ReadWriteSpan
}

// taken copies t. mu is held.
func (t *liveTrace) taken() takenTrace {
	return takenTrace{t.id, t.kind, t.changed, t.letGo, slices.Clone(t.spans)}
}

// since returns the traces in which a span began after the time given, the newest first: at most as many as asked for of
// each kind. changed is how many there were of all kinds, now the time up to which this is so.
func (l *live) since(clock uint64, most int) (traces []takenTrace, changed int, now uint64) {
	l.mu.Lock()
	for i := range l.kept {
		n := 0
		for t := l.kept[i].newest; t != nil && t.changed > clock; t = t.older {
			if n++; n <= most {
				traces = append(traces, t.taken())
			}
		}
		changed += n
	}
	now = l.clock
	l.mu.Unlock()
	slices.SortFunc(traces, func(a, b takenTrace) int {
		if a.changed > b.changed {
			return -1
		}
		return 1
	})
	return traces, changed, now
}

// trace returns what is in memory of one trace.
func (l *live) trace(id trace.TraceID) (takenTrace, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t, ok := l.byID[id]
	if !ok {
		return takenTrace{}, false
	}
	return t.taken(), true
}

// keptCounts is how much is in memory and how much is not any more.
type keptCounts struct {
	Traces      int    `json:"traces"`
	Spans       int    `json:"spans"`
	LetGoTraces uint64 `json:"let_go_traces"`
	LetGoSpans  uint64 `json:"let_go_spans"`
}

func (l *live) counts() keptCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := keptCounts{LetGoTraces: l.letGoTraces, LetGoSpans: l.letGoSpans}
	for i := range l.kept {
		c.Traces += l.kept[i].traces
		c.Spans += l.kept[i].spans
	}
	return c
}

// end ends all streams, for good.
func (l *live) end() { l.close.Do(func() { close(l.closing) }) }
