package promises

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/traceroom/traceroom/rooms"
)

// client connects and disconnects, has one connection at a time, and resumes where it was. world.mu guards its fields.
type client struct {
	name, room string
	conn       *conn // the newest; nil: there was none
	since, gen int64 // the newest message that it was shown; since is fresh if there is none
	epoch      string
	unsure     []string // texts that it has sent and that are not acknowledged: it sends them again on the next connection
}

// maxUnread is how many events wait for a client that does not read.
const maxUnread = 24

// conn is a client's connection to a node, and a rooms.Sink. What the client and the server do on it is done by work,
// one thing after the other. world.mu guards the fields below it.
type conn struct {
	id     int
	client *client
	node   *node
	world  *world
	work   chan func()
	member *rooms.Member // belongs to work

	open    bool
	stalled bool
	leaving bool // it ends when everything that waits has been read
	unread  []*rooms.Bundle
	weight  int
}

var _ rooms.Sink = (*conn)(nil)

// told is an event as it is written to a connection: one in a line.
type told struct {
	Kind      rooms.EventKind
	Gen, Seq  int64
	Text, Ref string
	History   []told
	Truncated bool
	More      bool
	Reset     bool
	Epoch     string
}

// lines is the rooms.Format of these connections.
type lines struct{}

func (lines) Transport() string { return "websocket" }

func (lines) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	l := told{Kind: ev.Kind, Ref: ref, Truncated: ev.Truncated, More: ev.More, Reset: ev.Reset, Epoch: ev.Epoch}
	switch ev.Kind {
	case rooms.EventMessage:
		l.Gen, l.Seq, l.Text = ev.Message.Generation, ev.Message.Seq, ev.Message.Text
	case rooms.EventHistory:
		for _, m := range ev.History {
			l.History = append(l.History, told{Gen: m.Generation, Seq: m.Seq, Text: m.Text})
		}
	}
	line, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	return append(append(dst, line...), '\n')
}

func (c *conn) Format() rooms.Format { return lines{} }

func (c *conn) Push(b *rooms.Bundle) bool {
	c.node.pass()
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	switch {
	case !c.open:
		b.Done(fmt.Sprint(c.id), false)
	case c.stalled && c.weight+b.Len() > maxUnread:
		return false
	case c.stalled:
		c.unread = append(c.unread, b)
		c.weight += b.Len()
	default:
		c.read(b)
	}
	return true
}

// read shows b to the client. world.mu is held.
func (c *conn) read(b *rooms.Bundle) {
	for line := range bytes.Lines(b.Bytes()) {
		var l told
		if err := json.Unmarshal(line, &l); err != nil {
			panic(err)
		}
		switch l.Kind {
		case rooms.EventMessage:
			c.see(l)
		case rooms.EventHistory:
			if l.Reset {
				c.client.since, c.client.gen = fresh, 0
			}
			c.client.epoch = l.Epoch
			whole := !l.Truncated && (c.client.since != fresh || !l.More && len(l.History) < rooms.HistoryLength)
			c.world.record.add(event{Kind: history, Conn: c.id, Seq: int64(len(l.History)), Whole: whole, Reset: l.Reset})
			for _, m := range l.History {
				c.see(m)
			}
		case rooms.EventRoomDeleted:
			c.world.record.add(event{Kind: deleted, Conn: c.id})
			c.client.since, c.client.gen, c.client.epoch, c.client.unsure = fresh, 0, "", nil
		}
	}
	b.Done(fmt.Sprint(c.id), true)
}

func (c *conn) see(l told) {
	c.world.record.add(event{Kind: shown, Conn: c.id, Gen: l.Gen, Seq: l.Seq, Text: l.Text, Ref: l.Ref})
	if l.Ref != "" {
		c.client.unsure = slices.DeleteFunc(c.client.unsure, func(text string) bool { return text == l.Text })
	}
	if l.Gen != c.client.gen || l.Seq > c.client.since { // otherwise it is the answer to a repetition
		c.client.since, c.client.gen = l.Seq, l.Gen
	}
}

// Removed tells the client why. A client that has stalled is told when it reads again.
func (c *conn) Removed(_ *rooms.Member, why rooms.Removal) {
	c.node.pass()
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if c.open && c.stalled && why == rooms.RemovedDeleted {
		c.leaving = true
		return
	}
	c.end()
}

// end disconnects: nothing that waits is read any more. world.mu is held.
func (c *conn) end() {
	if !c.open {
		return
	}
	c.open = false
	c.world.record.add(event{Kind: ended, Conn: c.id})
	for _, b := range c.unread {
		b.Done(fmt.Sprint(c.id), false)
	}
	c.unread = nil
	c.work <- c.leave
}

// stall makes the client stop reading, or continue.
func (c *conn) stall(is bool) {
	c.stalled = is
	if is || !c.open {
		return
	}
	for _, b := range c.unread {
		c.read(b)
	}
	c.unread, c.weight = nil, 0
	if c.leaving {
		c.end()
	}
}

// live does what comes in work, until work is closed.
func (c *conn) live() {
	for f := range c.work {
		c.node.pass()
		f()
	}
}

// join, and the methods that follow, are called by live.
func (c *conn) join() {
	w := c.world
	w.mu.Lock()
	if !c.open {
		w.mu.Unlock()
		return
	}
	since, epoch := c.client.since, c.client.epoch
	w.record.add(event{Kind: joining, Conn: c.id, Room: c.client.room, Since: since, Gen: c.client.gen})
	w.mu.Unlock()
	ask := rooms.Join{RoomID: c.client.room, ClientID: c.client.name, Epoch: epoch}
	if since != fresh {
		ask.Since = &since
	}
	m, err := c.node.Join(context.Background(), &rooms.Conn{ID: fmt.Sprint(c.id), Transport: "websocket", Sink: c}, ask)
	c.node.pass()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		c.end()
		return
	}
	c.member = m
	if c.open {
		w.record.add(event{Kind: joined, Conn: c.id, Whole: len(c.unread) == 0})
		for _, text := range c.client.unsure {
			c.work <- func() { c.say(text) }
		}
	}
}

func (c *conn) leave() {
	if c.member != nil {
		_ = c.node.Leave(context.Background(), c.member)
		c.member = nil
	}
}

// send sends a new message; say sends one that may have been sent before.
func (c *conn) send() {
	w := c.world
	text := w.text()
	w.mu.Lock()
	if c.open && c.member != nil {
		c.client.unsure = append(c.client.unsure, text)
	}
	w.mu.Unlock()
	c.say(text)
}

func (c *conn) say(text string) {
	w := c.world
	w.mu.Lock()
	open := c.open && slices.Contains(c.client.unsure, text)
	w.mu.Unlock()
	if open && c.member != nil {
		c.node.send(c.id, rooms.Post{RoomID: c.client.room, ClientID: c.client.name, Text: text, Ref: "ref-" + text, From: c.member})
	}
}

// send sends a post for connection id.
func (n *node) send(id int, p rooms.Post) {
	w := n.world
	p.Transport = "websocket"
	w.record.add(event{Kind: sent, Conn: id, Room: p.RoomID, Text: p.Text, Ref: p.Ref})
	refuse := func(err error) {
		if errors.Is(err, rooms.ErrNotFound) {
			w.record.add(event{Kind: refused, Conn: id, Text: p.Text})
		}
	}
	err := n.Send(context.Background(), p, func(m *rooms.Message, _ bool, err error) {
		switch {
		case !n.pass(): // the node is dead, and nobody hears of the outcome
		case err != nil:
			refuse(err)
		default:
			w.record.add(event{Kind: acked, Conn: id, Gen: m.Generation, Seq: m.Seq, Text: p.Text})
		}
	})
	if err != nil && n.pass() {
		refuse(err)
	}
}
