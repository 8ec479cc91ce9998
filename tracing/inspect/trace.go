package inspect

// span is an operation put together from its ENTER and its EXIT. Its texts lie in its own buffers.
type span struct {
	id, parent spanID
	linkTo     spanKey
	name       *name
	begun      bool // its ENTER was seen
	ended      bool // its EXIT was seen
	failed     bool
	start      int64 // Unix milliseconds
	end        int64 // of its EXIT
	micros     int64 // -1 when unknown
	enterSeq   int64 // where its lines stood among all
	exitSeq    int64
	thread     []byte
	args       text
	result     text
	excType    text
	excText    text
	own, own2  []byte // what the ENTER's and the EXIT's texts lie in
}

// elapsed is how long s took, or has taken when the log's clock shows now (milliseconds).
func (s *span) elapsed(now int64) int64 {
	switch {
	case s.micros >= 0:
		return s.micros
	case s.ended:
		return max(0, s.end-s.start) * 1000
	}
	return max(0, now-s.start) * 1000
}

func (s *span) status() string {
	switch {
	case s.failed:
		return "failed"
	case !s.ended:
		return "open"
	}
	return "ok"
}

// size is roughly what s holds.
func (s *span) size() int64 { return int64(cap(s.own)+cap(s.own2)) + 300 }

// began takes an ENTER.
func (s *span) began(l *line, n *name, seq int64) {
	s.begun = true
	s.id, s.parent, s.linkTo, s.name = l.span, l.parent, l.linkTo, n
	s.start, s.enterSeq = l.stamp, seq
	s.own = append(append(s.own[:0], l.thread...), l.args.raw...)
	s.thread = s.own[:len(l.thread)]
	s.args = text{s.own[len(l.thread):], l.args.escaped}
}

// finished takes an EXIT.
func (s *span) finished(l *line, n *name, seq int64) {
	s.ended, s.failed = true, l.failed
	s.end, s.micros, s.exitSeq = l.stamp, l.micros, seq
	if l.micros < 0 && l.millis >= 0 {
		s.micros = l.millis * 1000
	}
	b := append(s.own2[:0], l.result.raw...)
	b = append(b, l.excType.raw...)
	b = append(b, l.excText.raw...)
	if !s.begun {
		b = append(b, l.thread...)
	}
	s.own2 = b
	take := func(t text) text {
		var raw []byte
		raw, b = b[:len(t.raw):len(t.raw)], b[len(t.raw):]
		return text{raw, t.escaped}
	}
	s.result, s.excType, s.excText = take(l.result), take(l.excType), take(l.excText)
	if !s.begun {
		s.id, s.parent, s.linkTo, s.name, s.thread = l.span, l.parent, l.linkTo, n, b
		s.start = s.end - max(0, s.micros)/1000
	}
}

// trace is the part of a trace that is shown together.
type trace struct {
	id        traceID
	spans     []*span // in the order their first lines came
	open      int     // spans without an EXIT
	last      int64   // the newest line's time
	bytes     int64
	atRest    bool // nothing more is expected
	hurried   bool // shown although more was expected, to keep memory bounded
	continued bool // an earlier part was shown before

	inOrder, waiting element // where it stands in the assembler's lists
}

// opened finds the span that an EXIT belongs to.
func (t *trace) opened(id spanID) *span {
	for i := len(t.spans) - 1; i >= 0; i-- {
		if s := t.spans[i]; s.id == id && !s.ended {
			return s
		}
	}
	return nil
}

// bounds returns when t began, in milliseconds, and how long it took, in microseconds, when the log's clock shows now.
func (t *trace) bounds(now int64) (start, micros int64) {
	start = t.spans[0].start
	for _, s := range t.spans[1:] {
		start = min(start, s.start)
	}
	for _, s := range t.spans {
		micros = max(micros, (s.start-start)*1000+s.elapsed(now))
	}
	return start, micros
}

// row is a span in its place in the tree.
type row struct {
	*span
	up     int // the parent's row, or -1
	depth  int
	last   bool // the last of its parent's children
	async  bool // may outlive its parent
	linked bool // has a parent that is not in this part of the trace
	match  bool // is what the filter asks for

	fieldsRead               bool
	args                     []byte // decoded
	connection, room, client []byte // its own, or its parent's
}

// view lays a trace out as a tree, row after row, parents first. Its memory is used again for the next trace.
type view struct {
	t     *trace
	now   int64
	rows  []row
	index map[spanID]int32 // by span: its position in t.spans
	child []int32          // first child by position, -1 for none
	next  []int32          // next sibling
	done  []bool
	stack []frame
	bytes []byte // what rows' texts lie in
}

type frame struct {
	pos   int32
	up    int
	depth int
}

// lay fills v.rows from t.
func (v *view) lay(t *trace, now int64) {
	n := len(t.spans)
	v.t, v.now, v.rows, v.bytes = t, now, v.rows[:0], v.bytes[:0]
	if v.index == nil {
		v.index = make(map[spanID]int32)
	}
	clear(v.index)
	v.child, v.next, v.done = v.child[:0], v.next[:0], v.done[:0]
	for i, s := range t.spans {
		v.index[s.id] = int32(i)
		v.child = append(v.child, -1)
		v.next = append(v.next, -1)
		v.done = append(v.done, false)
	}
	parent := func(i int) int32 {
		s := t.spans[i]
		if s.parent == 0 || s.parent == s.id {
			return -1
		}
		if p, ok := v.index[s.parent]; ok {
			return p
		}
		return -1
	}
	for i := n - 1; i >= 0; i-- { // backwards, so that siblings stand in their order
		if p := parent(i); p >= 0 {
			v.next[i] = v.child[p]
			v.child[p] = int32(i)
		}
	}
	for i := range n {
		if parent(i) < 0 {
			v.descend(int32(i))
		}
	}
	for i := range n { // what only a circle of parents leads to
		if !v.done[i] {
			v.descend(int32(i))
		}
	}
}

// descend adds the span at pos and all below it.
func (v *view) descend(pos int32) {
	v.stack = append(v.stack[:0], frame{pos, -1, 0})
	for len(v.stack) > 0 {
		f := v.stack[len(v.stack)-1]
		v.stack = v.stack[:len(v.stack)-1]
		if v.done[f.pos] {
			continue
		}
		v.done[f.pos] = true
		s := v.t.spans[f.pos]
		r := row{span: s, up: f.up, depth: f.depth, last: f.up < 0 || v.next[f.pos] < 0}
		if f.up < 0 {
			r.linked = s.parent != 0
		} else {
			r.async = s.name.outlives(v.rows[f.up].name.function)
		}
		at := len(v.rows)
		v.rows = append(v.rows, r)
		// Children go onto the stack last first.
		from := len(v.stack)
		for c := v.child[f.pos]; c >= 0; c = v.next[c] {
			v.stack = append(v.stack, frame{c, at, f.depth + 1})
		}
		for i, j := from, len(v.stack)-1; i < j; i, j = i+1, j-1 {
			v.stack[i], v.stack[j] = v.stack[j], v.stack[i]
		}
	}
}

// decode decodes t for as long as the view is of this trace.
func (v *view) decode(t text) []byte {
	if !t.escaped {
		return t.raw
	}
	at := len(v.bytes)
	v.bytes = t.decode(v.bytes)
	return v.bytes[at:len(v.bytes):len(v.bytes)]
}

// read decodes what row i was called with, and whom it was for; what it does not say itself it has from its parent.
func (v *view) read(i int) *row {
	r := &v.rows[i]
	if r.fieldsRead {
		return r
	}
	r.fieldsRead = true
	r.args = v.decode(r.span.args)
	own := func(names []string) []byte {
		t, _ := find(r.args, names)
		return v.decode(t)
	}
	r.connection, r.room, r.client = own(connectionNames), own(roomNames), own(clientNames)
	if r.up >= 0 {
		up := v.read(r.up)
		if len(r.connection) == 0 {
			r.connection = up.connection
		}
		if len(r.room) == 0 {
			r.room = up.room
		}
		if len(r.client) == 0 {
			r.client = up.client
		}
	}
	return r
}
