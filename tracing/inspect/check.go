package inspect

import (
	"context"
	"fmt"
	"io"
)

// Limits and allowances of a check.
const (
	// maxOpen bounds the spans that may be open at once; one more, and the oldest counts as never ended.
	maxOpen = 1 << 17
	// maxClosed bounds the ended spans that are remembered, for children that come late.
	maxClosed = 1 << 17
	// A timestamp is cut to whole milliseconds, so two of them may be apart by one more than what they tell of was.
	stampSlack = 1
	// A duration in microseconds may differ by so much from that between the two timestamps.
	durationSlack = 2000
	// Within so much of its first line (ms), a log that is not whole may tell of children whose parents stand before it.
	edge = 1000
	// The writer keeps a line for up to a second, so the first of a hole's may be so much older (ms) than the hole.
	beforeHole = 2000
	// maxHoles bounds the holes that are remembered, the newest.
	maxHoles = 16
)

// A Problem is something in a log that should not be there.
type Problem struct {
	File     string `json:"file"`
	Line     int64  `json:"line"` // from 1
	Rule     string `json:"rule"` // one of the Rule constants
	Function string `json:"function,omitempty"`
	TraceID  string `json:"trace_id,omitempty"`
	SpanID   string `json:"span_id,omitempty"`
	Detail   string `json:"detail"` // in words
}

// What a Problem breaks.
const (
	RuleLine     = "line"     // a line is a trace log line
	RuleExit     = "exit"     // every ENTER has exactly one EXIT, and every EXIT its ENTER
	RuleParent   = "parent"   // parents exist
	RuleNesting  = "nesting"  // children lie within their parents
	RuleDuration = "duration" // durations add up
)

// A Report is what a check found.
type Report struct {
	Lines    int64     `json:"lines"`
	Spans    int64     `json:"spans"`
	Roots    int64     `json:"roots"`    // spans without a parent in the log
	Open     int64     `json:"open"`     // spans without an EXIT, allowed or not
	Lost     int64     `json:"lost"`     // lines that the log says it could not write
	Killed   int64     `json:"killed"`   // runs of the server whose log does not end with its stopping
	Found    int64     `json:"found"`    // problems
	Problems []Problem `json:"problems"` // the first of them, at most what was asked for
}

// CheckOptions says what a check lets pass.
type CheckOptions struct {
	// AllowOpen takes a log that begins or ends in the middle: spans may be open at its end, and those that began before
	// it may end in it or be parents.
	AllowOpen bool
	// MaxProblems bounds Report.Problems; 0 keeps none. All are counted.
	MaxProblems int
	// Name is what Problems call the log.
	Name string
}

// Check reads a trace log to its end and reports what is wrong with it. Lines that the log says it could not write are not
// missed. A server that was killed, which a half line, a start without the end of what was before, or a run without its end
// tell, leaves spans open and may tear a line; that is no fault of the log's. It holds a bounded number of spans, so a parent that
// ended long before (131,072 later ends) counts as missing. The error is the reader's, or ctx's.
func Check(ctx context.Context, log io.Reader, o CheckOptions) (Report, error) {
	c := newCheck(o)
	err := read(ctx, &whole{log, o.Name}, c, c.complaints(io.Discard))
	if err == nil {
		err = ctx.Err()
	}
	return c.report, err
}

// whole is a source that reads r to its end, in the caller's goroutine.
type whole struct {
	r    io.Reader
	path string
}

func (s *whole) read(ctx context.Context, p []byte) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

func (s *whole) name() string { return s.path }
func (s *whole) close() error { return nil }

// checked is a span as far as a check remembers it.
type checked struct {
	key        spanKey
	name       *name
	parent     spanID
	parentName *name // nil when the parent is not known
	enter      place
	exit       int64 // the EXIT's line; 0 while open
	holed      bool  // lines are missing behind its ENTER: its EXIT may be one of them
	start, end int64 // ms
	micros     int64

	// The child that must lie within and ended last so far.
	lateEnd  int64
	lateLine int64
	lateName *name
	lateSpan spanID

	prev, next *checked // in the list of the open or of the ended
}

// spanList is a list of spans, oldest first.
type spanList struct {
	front, back *checked
	n           int
}

func (l *spanList) push(s *checked) {
	s.prev, s.next = l.back, nil
	if l.back != nil {
		l.back.next = s
	} else {
		l.front = s
	}
	l.back = s
	l.n++
}

func (l *spanList) remove(s *checked) {
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.front = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.back = s.prev
	}
	l.n--
}

// check is a reading that holds a log against what a trace log promises.
type check struct {
	CheckOptions
	report  Report
	found   func(Problem) error // told of each, when not nil
	names   names
	spans   map[spanKey]*checked
	open    spanList
	closed  spanList
	free    *checked
	first   int64 // the first line's timestamp
	last    int64 // the newest line's timestamp
	carried int64 // lines that lean on what stands before the log, let pass
	holes   []hole
	run     stage
	torn    *Problem // a bad line, which may be what a kill or a full disk has left of one
	heard   *complaints
	err     error
}

// stage is how far the server's run that a log tells of has come.
type stage uint8

const (
	joined  stage = iota // the log has no beginning of it
	started              // it has
	drained              // the server has stopped
)

func newCheck(o CheckOptions) *check {
	return &check{CheckOptions: o, spans: make(map[spanKey]*checked), report: Report{Problems: []Problem{}}}
}

// complaints makes bad lines problems.
func (c *check) complaints(w io.Writer) *complaints {
	c.heard = &complaints{w: w, heard: func(at place, why error) {
		c.report.Lines++
		c.settleTorn(false)
		c.torn = &Problem{File: at.file, Line: at.line, Rule: RuleLine, Detail: why.Error()}
	}, hole: c.hole}
	return c.heard
}

// settleTorn decides on a bad line by what comes behind it.
func (c *check) settleTorn(fine bool) {
	if c.torn != nil && !fine {
		c.add(*c.torn)
	}
	c.torn = nil
}

// hole notes that lines are missing.
func (c *check) hole(_ place, h hole) {
	c.report.Lines++
	c.report.Lost += h.lines
	c.settleTorn(true)
	if len(c.holes) == maxHoles {
		c.holes = append(c.holes[:0], c.holes[1:]...)
	}
	c.holes = append(c.holes, h)
	for s := c.open.front; s != nil; s = s.next {
		s.holed = true
	}
}

// inHole reports whether a line of this time may be one of those that are missing.
func (c *check) inHole(stamp int64) bool {
	for _, h := range c.holes {
		if stamp >= h.from-beforeHole && stamp <= h.to+stampSlack {
			return true
		}
	}
	return false
}

// begins notes that the server starts: what was before it is over.
func (c *check) begins() {
	c.ends(c.run == started || c.run == joined && c.report.Lines > 0)
	c.run = started
}

// ends gives up what is open when a run is over; killed: without an end of it.
func (c *check) ends(killed bool) {
	if killed {
		c.report.Killed++
	}
	for c.open.front != nil {
		s := c.open.front
		s.holed = s.holed || killed && s.start >= c.last-patience
		c.giveUp(s, "no EXIT")
	}
}

func (c *check) add(p Problem) {
	c.report.Found++
	if len(c.report.Problems) < c.MaxProblems {
		c.report.Problems = append(c.report.Problems, p)
	}
	if c.found != nil && c.err == nil {
		c.err = c.found(p)
	}
}

func (c *check) problem(rule string, at place, k spanKey, n *name, format string, args ...any) {
	c.add(Problem{at.file, at.line, rule, n.full, k.trace.String(), k.span.String(), fmt.Sprintf(format, args...)})
}

func (c *check) line(l *line, at place) error {
	if at.file == "" {
		at.file = c.Name
	}
	if c.report.Lines == 0 || c.first == 0 {
		c.first = l.stamp
	}
	starts := l.event == enter && l.parent == 0 && string(l.module) == "app" && string(l.function) == "start"
	c.settleTorn(starts)
	if starts {
		c.begins()
	}
	c.report.Lines++
	c.last = l.stamp
	if l.event == enter {
		c.enter(l, at)
	} else {
		c.exit(l, at)
	}
	return c.err
}

func (c *check) enter(l *line, at place) {
	k, n := l.key(), c.names.of(l)
	if s := c.spans[k]; s != nil {
		c.problem(RuleExit, at, k, n, "a second ENTER of the span that %s began on line %d", s.name.full, s.enter.line)
		return
	}
	c.report.Spans++
	s := c.take()
	*s = checked{key: k, name: n, parent: l.parent, enter: at, start: l.stamp}
	c.spans[k] = s
	if c.open.n == maxOpen {
		c.giveUp(c.open.front, fmt.Sprintf("no EXIT while %s spans opened after it", group(maxOpen)))
	}
	c.open.push(s)
	if l.parent == 0 {
		c.report.Roots++
		return
	}
	p := c.spans[spanKey{l.trace, l.parent}]
	if p == nil {
		c.report.Roots++
		switch {
		case n.remote:
		case len(c.holes) > 0 && l.stamp <= c.holes[len(c.holes)-1].to+patience:
		case c.AllowOpen && l.stamp <= c.first+edge:
			c.carried++
		default:
			c.problem(RuleParent, at, k, n, "its parent %s is not in the log", l.parent)
		}
		return
	}
	s.parentName = p.name
	if l.stamp < p.start-stampSlack {
		c.problem(RuleNesting, at, k, n, "starts %d ms before its parent %s (line %d)", p.start-l.stamp, p.name.full, p.enter.line)
	}
	if p.exit != 0 && l.stamp > p.end+stampSlack && !n.outlives(p.name.function) {
		c.problem(RuleNesting, at, k, n, "starts %d ms after its parent %s ended (line %d)", l.stamp-p.end, p.name.full, p.exit)
	}
}

func (c *check) exit(l *line, at place) {
	k, n := l.key(), c.names.of(l)
	s := c.spans[k]
	switch {
	case s == nil && c.AllowOpen && l.stamp-max(0, l.micros)/1000 <= c.first+stampSlack:
		c.carried++ // began before the log
		return
	case s == nil && c.inHole(l.stamp-max(0, l.micros)/1000):
		return // its ENTER is missing
	case s == nil:
		c.problem(RuleExit, at, k, n, "an EXIT without an ENTER")
		return
	case s.exit != 0:
		c.problem(RuleExit, at, k, n, "a second EXIT; the first is on line %d", s.exit)
		return
	case s.name != n:
		c.problem(RuleExit, at, k, n, "the EXIT of what %s began on line %d", s.name.full, s.enter.line)
	}
	if n.module == "app" && n.function == "drain" {
		c.run = drained
	}
	s.exit, s.end, s.micros = at.line, l.stamp, l.micros
	c.open.remove(s)
	if c.closed.n == maxClosed {
		c.forget(c.closed.front)
	}
	c.closed.push(s)

	switch between := (s.end - s.start) * 1000; {
	case l.micros < 0:
		c.problem(RuleDuration, at, k, n, "no durationMicros")
	case between-l.micros > durationSlack || l.micros-between > durationSlack:
		c.problem(RuleDuration, at, k, n, "durationMicros is %d, but its lines are %d ms apart (ENTER on line %d)", l.micros, s.end-s.start, s.enter.line)
	case l.millis >= 0 && (l.millis-l.micros/1000 > 1 || l.micros/1000-l.millis > 1):
		c.problem(RuleDuration, at, k, n, "durationMillis is %d, but durationMicros is %d", l.millis, l.micros)
	}
	if s.lateName != nil && s.lateEnd > s.end+stampSlack {
		c.problem(RuleNesting, place{at.file, s.lateLine}, spanKey{k.trace, s.lateSpan}, s.lateName, "ended %d ms after its parent %s (line %d)", s.lateEnd-s.end, n.full, at.line)
	}
	if s.parentName == nil || s.name.outlives(s.parentName.function) {
		return
	}
	p := c.spans[spanKey{k.trace, s.parent}]
	switch {
	case p == nil:
	case p.exit == 0:
		if p.lateName == nil || s.end > p.lateEnd {
			p.lateEnd, p.lateLine, p.lateName, p.lateSpan = s.end, at.line, n, k.span
		}
	case s.end > p.end+stampSlack:
		c.problem(RuleNesting, at, k, n, "ends %d ms after its parent %s (line %d)", s.end-p.end, p.name.full, p.exit)
	}
}

func (c *check) idle() error { return nil }

func (c *check) end() error {
	c.settleTorn(false)
	c.ends(c.run == started || c.heard.torn != nil) // or it still runs
	return c.err
}

// giveUp counts a span as open for good.
func (c *check) giveUp(s *checked, why string) {
	c.report.Open++
	if !c.AllowOpen && !s.holed {
		c.problem(RuleExit, s.enter, s.key, s.name, "%s", why)
	}
	c.open.remove(s)
	c.drop(s)
}

// forget lets an ended span go.
func (c *check) forget(s *checked) {
	c.closed.remove(s)
	c.drop(s)
}

func (c *check) drop(s *checked) {
	delete(c.spans, s.key)
	s.prev, s.next = nil, c.free
	c.free = s
}

func (c *check) take() *checked {
	s := c.free
	if s == nil {
		return &checked{}
	}
	c.free = s.next
	return s
}
