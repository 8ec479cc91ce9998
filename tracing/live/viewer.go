package live

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Bounds of what Viewers are told.
const (
	maxViewers = 32  // at once
	maxUpdate  = 50  // traces of one Update but the first: nobody can read more
	maxOpen    = 500 // traces with open spans that a Viewer looks at again
)

// Viewer is told of the traces that begin or change. Looking is done by whoever calls it, so that a slow viewer keeps nobody
// waiting. It belongs to one goroutine.
type Viewer struct {
	store  *Store
	filter Filter
	told   bool                       // of what was there when it began
	clock  uint64                     // up to which it has been told
	open   map[trace.TraceID]struct{} // that had open spans when they were looked at
}

// Update is what a Viewer is told.
type Update struct {
	Traces  []Summary // those that began or changed since the last Update, those that began last first
	Skipped int       // how many more there were: too many at once, or the viewer was too slow
	First   bool      // it is the first: Traces are the newest in memory, up to the filter's limit
}

// Watch returns a Viewer of the traces that match f, or nil if there are 32 already. Close must be called.
func (s *Store) Watch(f Filter) *Viewer {
	if s.viewers.Add(1) > maxViewers {
		s.viewers.Add(-1)
		return nil
	}
	f.Text = strings.ToLower(f.Text)
	return &Viewer{store: s, filter: f, open: make(map[trace.TraceID]struct{})}
}

// Close ends the Viewer.
func (v *Viewer) Close() { v.store.viewers.Add(-1) }

// EndViews closes the channel of Ended, for good. It may be called more than once.
func (s *Store) EndViews() { s.close.Do(func() { close(s.closing) }) }

// Ended returns a channel that is closed when all who watch must stop.
func (v *Viewer) Ended() <-chan struct{} { return v.store.closing }

// Next returns what has changed since its last call. ok is false if nothing has.
func (v *Viewer) Next(now time.Time) (u Update, ok bool) {
	u = Update{Traces: []Summary{}, First: !v.told}
	v.told = true
	room := maxUpdate
	if u.First {
		room = v.filter.Limit
	}
	most := room
	if !v.filter.all() {
		most = MaxListed // what matches may be anywhere among them
	}
	traces, changed, clock := v.store.since(v.clock, most)
	v.clock = clock
	looked := make(map[trace.TraceID]struct{}, len(traces))
	matching := 0
	for i := range traces {
		t := &traces[i]
		matches := v.store.matches(&v.filter, t, now)
		if matches {
			matching++
			matches = len(u.Traces) < room
		}
		if matches || len(traces) <= maxOpen {
			looked[t.id] = struct{}{}
			v.watch(t)
		}
		if matches {
			u.Traces = append(u.Traces, v.store.see(*t, now).summary())
		}
	}
	if v.filter.all() {
		matching = changed
	}
	if !u.First {
		u.Skipped = matching - len(u.Traces)
	}
	// A trace that was open may have ended, and match only now. If a span had begun in it, it would be among those above.
	for id := range v.open {
		if _, ok := looked[id]; ok {
			continue
		}
		t, ok := v.store.trace(id)
		if !ok {
			delete(v.open, id)
		} else if v.watch(&t); !t.open() && v.store.matches(&v.filter, &t, now) {
			u.Traces = append(u.Traces, v.store.see(t, now).summary())
		}
	}
	newestFirst(u.Traces)
	return u, u.First || len(u.Traces) > 0 || u.Skipped > 0
}

// watch notes whether t is to be looked at again though no span begins in it.
func (v *Viewer) watch(t *taken) {
	if !t.open() {
		delete(v.open, t.id)
	} else if len(v.open) < maxOpen {
		v.open[t.id] = struct{}{}
	}
}
