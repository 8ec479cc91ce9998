package promises

import "fmt"

// place is where a message stands: in which room and where in its order.
type place struct{ gen, seq int64 }

// sending is what is known of a message by its text, which is unlike all others'.
type sending struct {
	conn    int
	room    string
	ref     string
	nth     int   // of its connection's
	after   place // the newest acknowledged message of its room when it was sent
	stored  place
	acked   bool
	refused bool
	// nameless: the connection that sent it was shown it without its ref, as if it were somebody else's. That may be if the
	// server could not say what became of it.
	nameless bool
}

// membership is what is known of a connection.
type membership struct {
	room      string
	since     int64 // what it resumed after, of
	sinceGen  int64
	owed      map[int64]int64 // by generation, the newest message that was acknowledged before it asked to join
	gen       int64           // of what it was shown; 0: nothing yet
	at        int64           // the newest message that it was shown, or what it resumed after
	left      int             // messages of its history that are still to be shown
	cut       bool            // its history leaves out older messages
	joined    bool
	deleted   bool
	ended     bool
	sends     int
	lastStore place
}

// checker goes through a history once.
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
//   - order: a room's messages have one order, the same for all, which is the order of their numbers; what one
//     connection sent keeps its order, and what was sent after another message was acknowledged comes after it.
//   - loss: what was acknowledged is stored, and who stayed or resumed has been shown all of it, at the latest when all
//     has been well for a while; who joins is shown at once all that was acknowledged before.
//   - repetition: nobody is shown anything twice, on one connection or over several, and nothing is stored twice.
//   - nothing is shown that is not stored, of a room that was deleted least of all.
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
		if s.stored.seq != 0 {
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
		if m != nil { // it had not been cut before it could ask
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
	s := &sending{conn: e.Conn, room: e.Room, ref: e.Ref}
	if gen := c.gens[e.Room]; gen != 0 {
		s.after = place{gen, c.acked[gen]}
	}
	if m != nil {
		m.sends++
		s.nth = m.sends
	}
	c.sends[e.Text] = s
}

func (c *checker) stored(e event) {
	at := place{e.Gen, e.Seq}
	s := c.sends[e.Text]
	if s == nil {
		c.fail("stored, but nobody sent it")
		s = &sending{room: e.Room}
		c.sends[e.Text] = s
	}
	if s.stored.seq != 0 {
		c.fail("stored twice, as %v before", s.stored)
	}
	if s.refused {
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
	s.stored = at
	c.journal[at] = e.Text
	c.newest[e.Gen] = max(c.newest[e.Gen], e.Seq)
	c.gens[s.room] = max(c.gens[s.room], e.Gen)
	if m := c.conns[s.conn]; m != nil {
		if m.lastStore.gen == at.gen && int(m.lastStore.seq) > s.nth {
			c.fail("its connection sent it before what is stored already")
		}
		m.lastStore = place{at.gen, int64(s.nth)}
	}
}

func (c *checker) acknowledged(e event) {
	s := c.sends[e.Text]
	switch at := (place{e.Gen, e.Seq}); {
	case s.acked:
		c.fail("acknowledged twice")
	case s.stored != at:
		c.fail("acknowledged as %v, but stored as %v", at, s.stored)
	}
	s.acked = true
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
	first := m.gen == 0
	if first {
		m.gen = e.Gen
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
		// Without an epoch the client cannot know that its number is of another room.
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
	switch s := c.sends[e.Text]; {
	case s.conn != fromHTTP && s.conn == e.Conn && e.Ref == "":
		s.nameless = true
	case e.Ref != "" && (s.conn != e.Conn || s.ref != e.Ref):
		c.fail("shown with ref %q, which is not this connection's name for it", e.Ref)
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

// position is how far a connection has come; generation 0: that cannot be told.
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

// missing is the first message after at, up to last, that is not erased; 0: there is none.
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
		if s.acked && s.nameless {
			c.fail("%q was acknowledged, but its sender was shown it without its ref", text)
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
