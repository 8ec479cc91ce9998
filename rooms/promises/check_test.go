package promises

import (
	"fmt"
	"slices"
)

// place is where a message is: the generation of its room, and its number.
type place struct{ gen, seq int64 }

// sending is what is known of a message. Its text, which no other message has, identifies it. It may be sent again, with the same
// ref, on other connections.
type sending struct {
	room   string
	ref    string
	conns  []int           // that have sent it, in order; may contain fromHTTP
	nth    int             // its place among the messages of its first connection
	after  place           // the newest acknowledged message of its room when it was first sent
	stored map[int64]int64 // by generation, its number
	acked  map[int]bool    // by connection
	named  map[int]bool    // by connection: it was shown its own message, by its ref
	// refused says that its sender was told that it is not stored and never will be.
	refused bool
}

// membership is what is known of a connection.
type membership struct {
	room      string
	since     int64 // the number that it resumed after, of generation sinceGen
	sinceGen  int64
	owed      map[int64]int64 // by generation, the newest message that was acknowledged before it asked to join
	gen       int64           // of the messages that it was shown; 0: none yet
	at        int64           // the newest message that it was shown, or what it resumed after
	left      int             // messages of its history that are still to be shown
	reset     bool            // it was told that what it had is of another epoch
	cut       bool            // its history leaves out older messages
	joined    bool
	deleted   bool
	ended     bool
	sends     int
	lastStore place
}

// checker checks a history, event by event.
type checker struct {
	at, conn int // of the event
	broken   []broken

	journal map[place]string // what was stored
	newest  map[int64]int64  // by generation
	gens    map[string]int64 // the room's newest generation
	gone    map[int64]bool   // deleted generations
	erased  map[place]bool
	kept    map[place]bool
	acked   map[int64]int64 // by generation, the newest acknowledged
	sends   map[string]*sending
	conns   map[int]*membership
}

// check returns the promises that were not kept in a history:
//
//   - order: all clients see a room's messages in one order, that of their numbers. Messages of one connection keep their
//     order, and a message that is sent after another was acknowledged comes after it.
//   - loss: what was acknowledged is stored. Who stayed or resumed is shown all of it, at the latest when there has been no
//     trouble for a while. Who joins is shown at once all that was acknowledged before.
//   - repetition: nobody is shown a message twice, on one connection or over several, and none is stored twice.
//   - nothing is shown that is not stored, or of a room that is deleted.
func check(events []event) []broken {
	c := &checker{
		journal: make(map[place]string), newest: make(map[int64]int64), gens: make(map[string]int64), gone: make(map[int64]bool),
		erased: make(map[place]bool), kept: make(map[place]bool), acked: make(map[int64]int64),
		sends: make(map[string]*sending), conns: make(map[int]*membership),
	}
	for i, e := range events {
		c.at, c.conn = i, e.Conn
		c.event(e)
	}
	return c.broken
}

func (c *checker) fail(format string, args ...any) {
	c.broken = append(c.broken, broken{c.at, c.conn, fmt.Sprintf(format, args...)})
}

func (c *checker) event(e event) {
	m := c.conns[e.Conn]
	switch e.Kind {
	case sent:
		c.sent(e, m)
	case stored:
		c.stored(e)
	case removed:
		c.gone[e.Gen] = true
	case erased:
		c.erased[place{e.Gen, e.Seq}] = true
	case acked:
		c.acknowledged(e)
	case refused:
		s := c.sends[e.Text]
		s.refused = true
		if len(s.conns) == 1 && len(s.stored) > 0 {
			c.fail("refused, but stored as %v", s.stored)
		}
	case joining:
		m = &membership{room: e.Room, since: e.Since, sinceGen: e.Gen, owed: make(map[int64]int64)}
		for gen, seq := range c.acked {
			m.owed[gen] = seq
		}
		c.conns[e.Conn] = m
	case history:
		m.left, m.cut = int(e.Seq), !e.Whole
		if m.reset = e.Reset; m.reset {
			m.since = fresh
		}
	case shown:
		c.shown(e, m)
	case joined:
		c.joined(e, m)
	case deleted:
		m.deleted = true
		if m.gen != 0 && !c.gone[m.gen] {
			c.fail("told that generation %d was deleted, which it was not", m.gen)
		}
	case ended:
		if m != nil { // otherwise it was disconnected before it could join
			m.ended = true
		}
	case kept:
		c.kept[place{e.Gen, e.Seq}] = true
		if c.journal[place{e.Gen, e.Seq}] != e.Text {
			c.fail("the store holds %q where it stored %q", e.Text, c.journal[place{e.Gen, e.Seq}])
		}
	case quiet:
		c.end()
	}
}

func (c *checker) sent(e event, m *membership) {
	if s := c.sends[e.Text]; s != nil {
		s.conns = append(s.conns, e.Conn)
		return
	}
	s := newSending(e.Room, e.Ref, e.Conn)
	if gen := c.gens[e.Room]; gen != 0 {
		s.after = place{gen, c.acked[gen]}
	}
	if m != nil {
		m.sends++
		s.nth = m.sends
	}
	c.sends[e.Text] = s
}

func newSending(room, ref string, conns ...int) *sending {
	return &sending{room: room, ref: ref, conns: conns, stored: make(map[int64]int64), acked: make(map[int]bool), named: make(map[int]bool)}
}

func (c *checker) stored(e event) {
	at := place{e.Gen, e.Seq}
	s := c.sends[e.Text]
	if s == nil {
		c.fail("stored, but nobody sent it")
		s = newSending(e.Room, "")
		c.sends[e.Text] = s
	}
	if seq := s.stored[e.Gen]; seq != 0 {
		c.fail("stored twice, as %d before", seq)
	}
	if s.refused && len(s.conns) == 1 {
		c.fail("stored, but its sender was told that it is not")
	}
	if c.gone[e.Gen] {
		c.fail("stored in a room that was deleted")
	}
	if e.Seq != c.newest[e.Gen]+1 {
		c.fail("number %d follows %d", e.Seq, c.newest[e.Gen])
	}
	if s.after.gen == e.Gen && s.after.seq >= e.Seq {
		c.fail("was sent after %d was acknowledged, and comes before it", s.after.seq)
	}
	s.stored[e.Gen] = e.Seq
	c.journal[at] = e.Text
	c.newest[e.Gen] = max(c.newest[e.Gen], e.Seq)
	c.gens[s.room] = max(c.gens[s.room], e.Gen)
	if len(s.conns) != 1 || c.conns[s.conns[0]] == nil {
		return // any of the connections may have brought it
	}
	m := c.conns[s.conns[0]]
	if m.lastStore.gen == at.gen && int(m.lastStore.seq) > s.nth {
		c.fail("its connection sent it before what is stored already")
	}
	m.lastStore = place{at.gen, int64(s.nth)}
}

func (c *checker) acknowledged(e event) {
	s := c.sends[e.Text]
	if len(s.conns) == 1 && s.acked[e.Conn] {
		c.fail("acknowledged twice")
	}
	if seq := s.stored[e.Gen]; seq != e.Seq {
		c.fail("acknowledged as %d, but stored as %d", e.Seq, seq)
	}
	s.acked[e.Conn] = true
	c.acked[e.Gen] = max(c.acked[e.Gen], e.Seq)
}

func (c *checker) shown(e event, m *membership) {
	at := place{e.Gen, e.Seq}
	if c.journal[at] != e.Text {
		c.fail("shown %q, but %q is stored there", e.Text, c.journal[at])
		return
	}
	if m.ended || m.deleted {
		c.fail("shown to who has left")
	}
	s := c.sends[e.Text]
	mine := slices.Contains(s.conns, e.Conn) && e.Conn != fromHTTP
	if mine && e.Ref == s.ref && s.ref != "" {
		s.named[e.Conn] = true
		if gen, at := c.position(m); len(s.conns) > 1 && e.Gen == gen && e.Seq <= at {
			return // it is told that its repetition is a message that it has been shown already
		}
	}
	if e.Ref != "" && (!mine || s.ref != e.Ref) {
		c.fail("shown with ref %q, which is not this connection's name for it", e.Ref)
	}
	first := m.gen == 0
	if first {
		m.gen = e.Gen
		if m.reset && m.sinceGen == e.Gen {
			c.fail("told to begin anew in the room that it was in")
		}
		if m.since != fresh && m.sinceGen == e.Gen {
			m.at = m.since
		}
	}
	switch {
	case e.Gen != m.gen:
		c.fail("is of generation %d, and what was shown before of %d", e.Gen, m.gen)
	case e.Seq <= m.at:
		c.fail("shown again, or out of order: %d was shown before", m.at)
	case first && m.cut:
	case first && m.since != fresh && m.sinceGen != e.Gen:
		c.fail("resumed in generation %d, of another, and is not told so", m.sinceGen)
	default:
		for seq := m.at + 1; seq < e.Seq; seq++ {
			if !c.erased[place{e.Gen, seq}] {
				c.fail("%d was not shown before it", seq)
				break
			}
		}
	}
	m.at = max(m.at, e.Seq)
	if m.left > 0 {
		m.left--
	}
}

func (c *checker) joined(e event, m *membership) {
	m.joined = true
	if m.ended || m.deleted || !e.Whole {
		return
	}
	gen, at := c.position(m)
	if gen == 0 || c.gone[gen] {
		return
	}
	if seq := c.missing(place{gen, at}, m.owed[gen]); seq != 0 {
		c.fail("%d had been acknowledged before, and is not in the history", seq)
	}
}

// position returns how far a connection has come. Generation 0 means that this is not known.
func (c *checker) position(m *membership) (gen, at int64) {
	switch {
	case m.gen != 0:
		return m.gen, m.at
	case m.since == fresh:
		return c.gens[m.room], 0
	case m.sinceGen == c.gens[m.room]:
		return m.sinceGen, m.since
	}
	return 0, 0
}

// missing returns the first message after at, up to last, that is not erased; 0: there is none.
func (c *checker) missing(at place, last int64) int64 {
	for seq := at.seq + 1; seq <= last; seq++ {
		if !c.erased[place{at.gen, seq}] {
			return seq
		}
	}
	return 0
}

func (c *checker) end() {
	for at, text := range c.journal {
		if is, should := c.kept[at], !c.gone[at.gen] && !c.erased[at]; is != should {
			c.fail("%v, %q: in the store: %t, want %t", at, text, is, should)
		}
	}
	for text, s := range c.sends {
		for id := range s.acked {
			if m := c.conns[id]; m != nil && !m.ended && !m.deleted && !s.named[id] && s.stored[m.gen] != 0 && !c.erased[place{m.gen, s.stored[m.gen]}] {
				c.fail("%q was acknowledged, but connection %d was not shown it by its ref", text, id)
			}
		}
	}
	for id, m := range c.conns {
		c.conn = id
		if m.ended || m.deleted || !m.joined {
			continue
		}
		gen, at := c.position(m)
		switch seq := c.missing(place{gen, at}, c.newest[gen]); {
		case gen == 0:
		case m.gen != 0 && c.gone[gen]:
			c.fail("connection %d was not told that its room was deleted", id)
		case c.gone[gen]:
		case seq != 0:
			c.fail("connection %d was not shown %d", id, seq)
		}
		if m.left > 0 {
			c.fail("connection %d has not been shown all of its history", id)
		}
	}
}
