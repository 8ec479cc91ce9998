package tracing

import (
	"encoding/json"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// How a stream goes.
const (
	streamEvery   = 250 * time.Millisecond // between two looks
	streamNumbers = time.Second            // between two numbers
	streamMost    = 50                     // traces in one event: more nobody can read
	streamOpen    = 500                    // traces with open spans that are looked at again
	streamWrite   = 10 * time.Second       // the longest that a viewer may keep an event from being written
	streamBuffer  = 64 << 10               // bytes of memory that are kept for the next event
)

// traceEvent is the event traces: those that began or changed since the last.
type traceEvent struct {
	Traces []traceSummary `json:"traces"` // those that began last first
	// Skipped is how many more there were that this viewer is not told of, because there were too many at once or because
	// it was too slow.
	Skipped int `json:"skipped"`
	// First says that the list begins with this event.
	First     bool   `json:"first,omitempty"`
	Recording bool   `json:"recording"`
	Notice    string `json:"notice,omitempty"`
}

// stream serves GET /traces/live: the newest traces, then what changes, looked up for this viewer when its turn comes,
// so that one who is slow or gone holds up nobody. Events: traces, numbers, and bye when the server goes.
func (l *live) stream(w http.ResponseWriter, r *http.Request) {
	f, err := parseLiveFilter(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if l.viewers.Add(1) > liveViewers {
		l.viewers.Add(-1)
		refuse(w, http.StatusServiceUnavailable, "as many are watching as can; try again later")
		return
	}
	defer l.viewers.Add(-1)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx: pass on at once
	v := viewer{live: l, filter: f, out: w, control: http.NewResponseController(w), open: make(map[trace.TraceID]struct{})}
	defer func() { _ = v.control.SetWriteDeadline(time.Time{}) }()

	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	now := time.Now()
	for first := true; ; first = false {
		if v.traces(now, first) != nil || v.numbers(now) != nil {
			return // the client has gone, or takes nothing
		}
		select {
		case now = <-tick.C:
		case <-r.Context().Done():
			return
		case <-l.closing:
			_ = v.send("bye", struct{}{})
			return
		}
	}
}

// viewer is one stream. It belongs to the goroutine of its request.
type viewer struct {
	live    *live
	filter  liveFilter
	out     http.ResponseWriter
	control *http.ResponseController
	buf     []byte

	clock   uint64                     // up to which it was told
	open    map[trace.TraceID]struct{} // that had open spans when it was looked at
	counted time.Time                  // when it was told the numbers
}

// traces sends what began or changed since the last time.
func (v *viewer) traces(now time.Time, first bool) error {
	event := traceEvent{Traces: []traceSummary{}, First: first, Recording: v.live.notice == "", Notice: v.live.notice}
	room := streamMost
	if first {
		room = v.filter.limit
	}
	most := room
	if !v.filter.all() {
		most = mostListed // what is looked for may be anywhere
	}
	taken, changed, clock := v.live.since(v.clock, most)
	v.clock = clock
	looked := make(map[trace.TraceID]struct{}, len(taken))
	matching := 0
	for i := range taken {
		t := &taken[i]
		matches := v.filter.matches(t, now)
		if matches {
			matching++
			matches = len(event.Traces) < room
		}
		if matches || len(taken) <= streamOpen {
			looked[t.id] = struct{}{}
			v.watch(t)
		}
		if matches {
			event.Traces = append(event.Traces, seeTrace(*t, now).summary())
		}
	}
	if v.filter.all() {
		matching = changed
	}
	if !first {
		event.Skipped = matching - len(event.Traces)
	}
	// What was open may have ended, and with it begun to match. (Had a span begun in it, it would be among the above.)
	for id := range v.open {
		if _, ok := looked[id]; ok {
			continue
		}
		t, ok := v.live.trace(id)
		if !ok {
			delete(v.open, id)
		} else if v.watch(&t); !t.open() && v.filter.matches(&t, now) {
			event.Traces = append(event.Traces, seeTrace(t, now).summary())
		}
	}
	if len(event.Traces) == 0 && event.Skipped == 0 && !first {
		return nil
	}
	newestFirst(event.Traces)
	return v.send("traces", event)
}

// watch notes whether t must be looked at again though no span begins in it.
func (v *viewer) watch(t *takenTrace) {
	if !t.open() {
		delete(v.open, t.id)
	} else if len(v.open) < streamOpen {
		v.open[t.id] = struct{}{}
	}
}

// numbers sends the numbers when it is time to.
func (v *viewer) numbers(now time.Time) error {
	if now.Sub(v.counted) < streamNumbers-streamEvery/2 {
		return nil
	}
	v.counted = now
	return v.send("numbers", v.live.numbers(now))
}

func (v *viewer) send(event string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	v.buf = append(append(append(v.buf[:0], "event: "...), event...), "\ndata: "...)
	v.buf = append(append(v.buf, body...), "\n\n"...)
	// Where the connection has no deadlines, a client that takes nothing still keeps only its own goroutine waiting.
	_ = v.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := v.out.Write(v.buf); err != nil {
		return err
	}
	if cap(v.buf) > streamBuffer {
		v.buf = nil
	}
	return v.control.Flush()
}
