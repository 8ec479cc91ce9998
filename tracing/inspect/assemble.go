package inspect

import (
	"container/list"
	"time"
)

// What an assembler holds at most, and how long it waits. Times are the log's own unless said otherwise.
const (
	maxHeldSpans  = 1 << 16
	maxHeldBytes  = 48 << 20
	maxTraceSpans = 5000                    // a longer trace is shown in parts; twice as long ones in the middle of something
	rest          = 1000                    // ms without a line, all closed: the trace is over
	restLive      = 300                     // the same when following
	patience      = 60_000                  // ms without a line, something open: shown as it is
	quiet         = 1200 * time.Millisecond // of real time without a line: longer than the server keeps lines back
	traceSize     = 500                     // what a trace takes beside its spans
	maxRecent     = 4096                    // traces remembered to have been shown
)

// element is a trace's place in a list.
type element struct {
	l *list.List
	e *list.Element
}

func (e *element) move(to *list.List, t *trace) {
	if e.l == to {
		to.MoveToBack(e.e)
		return
	}
	e.remove()
	e.l, e.e = to, to.PushBack(t)
}

func (e *element) remove() {
	if e.l != nil {
		e.l.Remove(e.e)
	}
	e.l, e.e = nil, nil
}

// assembler is a reading that puts traces together and hands each to show once: when all its spans have ended and it has
// been at rest for a while, when something in it stayed open for too long, at the log's end, or when too much is held.
// Traces are shown in the order they began, but that one that is waited for does not hold up those after it when the log
// is followed or when memory runs short. Lines that come for a trace after it was shown make a further part of it.
type assembler struct {
	show  func(*trace, int64) error // the trace, and the log's clock in milliseconds; the trace is the assembler's again afterwards
	only  func(*line) bool          // lines to take; nil for all
	live  bool                      // shown as soon as at rest
	names names

	traces  map[traceID]*trace
	order   list.List // of all, oldest first
	active  list.List // with lines of late, least lately first
	stalled list.List // without lines for a while, but open
	now     int64
	seq     int64
	spans   int
	bytes   int64
	heard   time.Time // when the last line came
	moved   bool      // lines came since the clock was last looked at

	recent     map[traceID]struct{}
	recentRing []traceID
	recentAt   int

	freeSpans  []*span
	freeTraces []*trace
}

func (a *assembler) line(l *line, _ place) error {
	a.now = l.stamp
	a.moved = true
	a.seq++
	if a.only == nil || a.only(l) {
		if err := a.add(l); err != nil {
			return err
		}
	}
	return a.settle(a.now)
}

func (a *assembler) add(l *line) error {
	t := a.traces[l.trace]
	if t == nil {
		t = a.begin(l.trace)
	}
	n := a.names.of(l)
	var s *span
	if l.event == exit {
		s = t.opened(l.span)
	}
	before := int64(0)
	if s == nil {
		s = a.newSpan()
		t.spans = append(t.spans, s)
		a.spans++
	} else {
		before = s.size()
	}
	if l.event == enter {
		s.began(l, n, a.seq)
		t.open++
	} else {
		if s.begun {
			t.open--
		}
		s.finished(l, n, a.seq)
	}
	t.bytes += s.size() - before
	a.bytes += s.size() - before
	t.last = l.stamp
	t.atRest = false
	t.waiting.move(&a.active, t)

	if n := len(t.spans); n >= maxTraceSpans && t.open == 0 || n >= 2*maxTraceSpans {
		t.hurried = t.open > 0
		return a.emit(t)
	}
	return a.relieve()
}

func (a *assembler) begin(id traceID) *trace {
	if a.traces == nil {
		a.traces = make(map[traceID]*trace)
		a.recent = make(map[traceID]struct{})
	}
	t := &trace{}
	if n := len(a.freeTraces); n > 0 {
		t, a.freeTraces = a.freeTraces[n-1], a.freeTraces[:n-1]
	}
	_, again := a.recent[id]
	*t = trace{id: id, continued: again, spans: t.spans[:0], bytes: traceSize}
	a.bytes += traceSize
	a.traces[id] = t
	t.inOrder.move(&a.order, t)
	return t
}

func (a *assembler) newSpan() *span {
	n := len(a.freeSpans)
	if n == 0 {
		return &span{}
	}
	s := a.freeSpans[n-1]
	a.freeSpans = a.freeSpans[:n-1]
	*s = span{own: s.own[:0], own2: s.own2[:0]}
	return s
}

// settle finds what has come to rest at the given time, and shows what it can.
func (a *assembler) settle(now int64) error {
	wait := int64(rest)
	if a.live {
		wait = restLive
	}
	for e := a.active.Front(); e != nil; e = a.active.Front() {
		t := e.Value.(*trace)
		if !past(now, t.last, wait) {
			break
		}
		if t.open > 0 {
			t.waiting.move(&a.stalled, t)
			continue
		}
		if err := a.settled(t); err != nil {
			return err
		}
	}
	for e := a.stalled.Front(); e != nil; e = a.stalled.Front() {
		t := e.Value.(*trace)
		if !past(now, t.last, patience) {
			break
		}
		if err := a.settled(t); err != nil {
			return err
		}
	}
	return nil
}

// past tells whether the clock has left t behind by more than wait; one that was set back has too.
func past(now, t, wait int64) bool { return now-t > wait || t-now > wait }

// settled notes that t is at rest, and shows it when its turn has come.
func (a *assembler) settled(t *trace) error {
	t.atRest = true
	t.waiting.remove()
	if a.live {
		return a.emit(t)
	}
	for e := a.order.Front(); e != nil; e = a.order.Front() {
		t := e.Value.(*trace)
		if !t.atRest {
			return nil
		}
		if err := a.emit(t); err != nil {
			return err
		}
	}
	return nil
}

// relieve shows traces before their time when too much is held: first those at rest, then the oldest.
func (a *assembler) relieve() error {
	if a.spans <= maxHeldSpans && a.bytes <= maxHeldBytes {
		return nil
	}
	if err := a.emitAtRest(); err != nil {
		return err
	}
	for a.spans > maxHeldSpans*3/4 || a.bytes > maxHeldBytes*3/4 {
		t := a.order.Front().Value.(*trace)
		t.hurried = t.open > 0
		if err := a.emit(t); err != nil {
			return err
		}
	}
	return nil
}

// emitAtRest shows all that is at rest, in order, past what is not.
func (a *assembler) emitAtRest() error {
	for e := a.order.Front(); e != nil; {
		t := e.Value.(*trace)
		e = e.Next()
		if t.atRest {
			if err := a.emit(t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *assembler) idle() error {
	now := time.Now()
	if a.moved {
		a.moved = false
		a.heard = now
	}
	silent := now.Sub(a.heard)
	if silent < quiet || a.order.Len() == 0 {
		return nil
	}
	if err := a.settle(a.now + silent.Milliseconds()); err != nil {
		return err
	}
	return a.emitAtRest()
}

func (a *assembler) end() error {
	for e := a.order.Front(); e != nil; e = a.order.Front() {
		if err := a.emit(e.Value.(*trace)); err != nil {
			return err
		}
	}
	return nil
}

// emit shows t and lets it go.
func (a *assembler) emit(t *trace) error {
	t.waiting.remove()
	t.inOrder.remove()
	delete(a.traces, t.id)
	a.spans -= len(t.spans)
	a.bytes -= t.bytes
	err := a.show(t, a.now)

	if _, known := a.recent[t.id]; !known {
		if len(a.recentRing) < maxRecent {
			a.recentRing = append(a.recentRing, t.id)
		} else {
			delete(a.recent, a.recentRing[a.recentAt])
			a.recentRing[a.recentAt] = t.id
			a.recentAt = (a.recentAt + 1) % maxRecent
		}
		a.recent[t.id] = struct{}{}
	}
	for _, s := range t.spans {
		if s.size() < 8<<10 && len(a.freeSpans) < maxHeldSpans/4 {
			a.freeSpans = append(a.freeSpans, s)
		}
	}
	clear(t.spans)
	if cap(t.spans) <= 64 && len(a.freeTraces) < 4096 {
		a.freeTraces = append(a.freeTraces, t)
	}
	return err
}
