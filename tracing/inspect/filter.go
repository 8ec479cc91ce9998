package inspect

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// filter says which spans are asked for: those that meet all that is set.
type filter struct {
	traces     string // how a trace id begins
	slow       int64  // at least so many microseconds
	errors     bool
	connection string
	room       string
	function   string
}

func newFilter(traces string, slow time.Duration, errors bool, connection, room, function string) (filter, error) {
	f := filter{strings.ToLower(traces), slow.Microseconds(), errors, connection, room, function}
	if len(traces) > 32 || strings.Trim(f.traces, hexDigits) != "" {
		return f, fmt.Errorf("--trace %q: takes a trace id, or how one begins: up to 32 hexadecimal digits", traces)
	}
	if slow < 0 {
		return f, fmt.Errorf("--slow %v: takes a duration above zero, such as 10ms", slow)
	}
	return f, nil
}

// some tells whether anything is asked for at all.
func (f *filter) some() bool { return *f != filter{} }

// taken returns which lines can be of use, or nil when all can.
func (f *filter) taken() func(*line) bool {
	if f.traces == "" {
		return nil
	}
	if whole, ok := parseTrace([]byte(f.traces)); ok {
		return func(l *line) bool { return l.trace == whole }
	}
	buf := make([]byte, 0, 32)
	return func(l *line) bool {
		buf = l.trace.append(buf[:0])
		return string(buf[:len(f.traces)]) == f.traces
	}
}

// names tells whether n is the function asked for: receive, rooms.receive, or all of rooms.
func (f *filter) names(n *name) bool {
	return f.function == "" || f.function == n.function || f.function == n.full || f.function == n.module
}

// needsEnter tells whether it takes a span's ENTER to decide.
func (f *filter) needsEnter() bool { return f.connection != "" || f.room != "" }

// mark sets match on the rows that are asked for, and tells how many there are.
func (f *filter) mark(v *view) (n int) {
	for i := range v.rows {
		r := &v.rows[i]
		r.match = !(f.errors && !r.failed) && r.elapsed(v.now) >= f.slow && f.names(r.name)
		if r.match && f.needsEnter() {
			v.read(i)
			r.match = (f.connection == "" || string(r.connection) == f.connection) && (f.room == "" || string(r.room) == f.room)
		}
		if r.match {
			n++
		}
	}
	return n
}

// possible tells, cheaply, whether any of t can be asked for.
func (f *filter) possible(t *trace) bool {
	if !f.needsEnter() {
		return true
	}
	// What is wanted stands in the args as it is, escaped or not, unless it holds what JSON escapes.
	connection := !plain([]byte(f.connection))
	room := !plain([]byte(f.room))
	for _, s := range t.spans {
		connection = connection || bytes.Contains(s.args.raw, []byte(f.connection))
		room = room || bytes.Contains(s.args.raw, []byte(f.room))
		if connection && room {
			return true
		}
	}
	return false
}
