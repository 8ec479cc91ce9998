package rooms

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bundle is one or more consecutive events of a room, encoded in one wire format. All members that speak the format are
// handed the same Bundle; its bytes must not be changed.
type Bundle struct {
	bytes      []byte
	events     int
	transport  string
	recipients int
	delivery   *delivery

	pending atomic.Int32 // recipients whose write has not returned
	refused atomic.Int32 // recipients whose queue was full
	lost    atomic.Int32 // recipients whose connection ended first

	// Written by whoever takes pending to zero.
	last    time.Time
	slowest string
}

// Bytes is what is to be written: every event of the bundle, in order, in full.
func (b *Bundle) Bytes() []byte { return b.bytes }

// Len is how many events the bundle holds: what it weighs in a queue.
func (b *Bundle) Len() int { return b.events }

// Done reports that the connection with this id was handed the bytes, or never will be. It is called once for every
// Push that returned true, from any goroutine.
func (b *Bundle) Done(connID string, written bool) {
	if !written {
		b.lost.Add(1)
		b.delivery.note(connID, true)
	}
	b.settle(connID)
}

// settle counts one recipient off.
func (b *Bundle) settle(connID string) {
	if b.pending.Add(-1) == 0 {
		b.last, b.slowest = time.Now(), connID
		b.delivery.finish()
	}
}

// Late reports that the connection with this id could not take the bytes at once: its peer is slow in reading. It may
// be called before Done, once.
func (b *Bundle) Late(connID string) { b.delivery.note(connID, false) }

// push hands b to m. A queue that is full counts as a member that never gets it.
func (b *Bundle) push(m *Member) bool {
	if m.Conn.Sink.Push(b) {
		return true
	}
	b.refused.Add(1)
	b.delivery.note(m.Conn.ID, true)
	b.settle(m.Conn.ID)
	return false
}

// delivery is the way of a batch of events to the members of a room on this node. It ends when the last write has
// returned; then everyone who wanted to know is told.
type delivery struct {
	dones   []func(Delivered) // by event; may hold nil
	bundles []*Bundle
	pending atomic.Int32 // bundles with pending recipients, and one while the room hands them out

	mu    sync.Mutex // guards notes
	notes []Notable
}

// bundle adds a bundle for this many recipients.
func (d *delivery) bundle(f Format, bytes []byte, events, recipients int) *Bundle {
	b := &Bundle{bytes: bytes, events: events, transport: f.Transport(), recipients: recipients, delivery: d}
	b.pending.Store(int32(recipients))
	d.pending.Add(1)
	d.bundles = append(d.bundles, b)
	return b
}

func (d *delivery) note(connID string, dropped bool) {
	at := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notes) < MaxNotes {
		d.notes = append(d.notes, Notable{ConnID: connID, Dropped: dropped, At: at})
	}
}

// finish counts one of pending off. The last one tells the outcome.
func (d *delivery) finish() {
	if d.pending.Add(-1) != 0 {
		return
	}
	var out Delivered
	var last time.Time
	for _, b := range d.bundles {
		i := slices.IndexFunc(out.ByTransport, func(t TransportDelivered) bool { return t.Transport == b.transport })
		if i < 0 {
			i = len(out.ByTransport)
			out.ByTransport = append(out.ByTransport, TransportDelivered{Transport: b.transport})
		}
		t := &out.ByTransport[i]
		refused, lost := int(b.refused.Load()), int(b.lost.Load())
		t.Written += b.recipients - refused - lost
		t.Refused += refused
		t.Lost += lost
		if b.last.After(t.Last) {
			t.Last = b.last
		}
		if b.last.After(last) {
			last, out.Slowest = b.last, b.slowest
		}
	}
	d.mu.Lock()
	out.Notes = d.notes
	d.mu.Unlock()
	for _, done := range d.dones {
		if done != nil {
			done(out)
		}
	}
}

// arrival is an event on its way to this node's members, with the context of whoever published it.
type arrival struct {
	ctx context.Context
	ev  *Event
}

// deliver hands consecutive events to the room's members: encoded once per format, the same bytes to all but those who
// are to see something else. It is either messages or one event of another kind.
func (r *room) deliver(batch []arrival) {
	apart := r.apart(batch)
	d := &delivery{dones: make([]func(Delivered), len(batch))}
	if hook := r.hub.hooks.Delivering; hook != nil {
		n := -len(r.excluded(batch[0].ev))
		for _, a := range r.audiences {
			n += len(a.members)
		}
		for i, a := range batch {
			d.dones[i] = hook(a.ctx, a.ev, n)
		}
	}
	d.pending.Store(1)
	var slow []*Member
	for _, a := range r.audiences {
		if len(a.members) == 0 {
			continue
		}
		bytes := r.encode(batch, a.format)
		if len(bytes) == 0 {
			continue
		}
		shared := len(a.members)
		for _, m := range apart {
			if m.audience != a {
				continue
			}
			shared--
			if p := r.spliced(batch, m, bytes); len(p) > 0 && !d.bundle(a.format, p, len(batch), 1).push(m) {
				slow = append(slow, m)
			}
		}
		if shared == 0 {
			continue
		}
		b := d.bundle(a.format, bytes, len(batch), shared)
		for _, m := range a.members {
			if !m.apart && !b.push(m) {
				slow = append(slow, m)
			}
		}
	}
	for _, m := range apart {
		m.apart = false
	}
	d.finish()
	for _, m := range slow {
		r.mute(m)
		if r.hub.hooks.MemberDropped != nil {
			r.hub.hooks.MemberDropped(batch[0].ctx, m)
		}
		m.Conn.Sink.Removed(m, RemovedSlow)
	}
}

// excluded returns the members that are not told of ev, because it is about their client.
func (r *room) excluded(ev *Event) []*Member {
	if ev.Kind != EventTyping && ev.Kind != EventJoined && ev.Kind != EventLeft || r.clients[ev.ClientID] == 0 {
		return nil
	}
	var found []*Member
	for _, a := range r.audiences {
		for _, m := range a.members {
			if m.ClientID == ev.ClientID {
				found = append(found, m)
			}
		}
	}
	return found
}

// apart returns, and marks, the members that must not be handed the same bytes as all others: those whom the event is
// about, and those who sent a message with a ref of their own.
func (r *room) apart(batch []arrival) []*Member {
	if batch[0].ev.Kind != EventMessage {
		found := r.excluded(batch[0].ev)
		for _, m := range found {
			m.apart = true
		}
		return found
	}
	var found []*Member
	for _, b := range batch {
		if m := b.ev.from; m != nil && b.ev.Ref != "" && m.audience != nil && m.room == r && !m.apart {
			m.apart = true
			found = append(found, m)
		}
	}
	return found
}

// encode returns the batch in format f, as those see it who are not apart, and sets ends.
func (r *room) encode(batch []arrival, f Format) []byte {
	p := r.scratch[:0]
	r.ends = r.ends[:0]
	for _, a := range batch {
		p = f.Append(p, a.ev, "")
		r.ends = append(r.ends, len(p))
	}
	if cap(p) <= maxScratch {
		r.scratch = p
	}
	return slices.Clone(p)
}

// spliced returns the batch as m, which is apart, sees it: what encode returned, but for the messages that m has sent with
// a ref, or nothing if it is about m's client. Only these are encoded for m alone: where many send at once, to encode all
// for each of them would cost the square of their number.
func (r *room) spliced(batch []arrival, m *Member, encoded []byte) []byte {
	if batch[0].ev.Kind != EventMessage {
		return nil
	}
	size := len(encoded)
	for _, a := range batch {
		if a.ev.from == m {
			size += len(a.ev.Ref) + refRoom
		}
	}
	p := make([]byte, 0, size)
	copied, begin := 0, 0 // of encoded; where the event begins
	for i, a := range batch {
		if a.ev.from == m && a.ev.Ref != "" {
			p = append(p, encoded[copied:begin]...)
			p = m.audience.format.Append(p, a.ev, a.ev.Ref)
			copied = r.ends[i]
		}
		begin = r.ends[i]
	}
	return append(p, encoded[copied:]...)
}

// refRoom is what a ref takes besides its own bytes in any format, or a little more: its name and the longer length of a frame.
const refRoom = 32

// maxScratch is the largest memory in bytes that a room keeps to encode in.
const maxScratch = 64 << 10
