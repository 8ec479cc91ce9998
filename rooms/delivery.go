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
	pace    *pace        // nil: it is not counted
	bytes   int64        // of text
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
	if d.pace != nil {
		d.pace.written(d.bytes)
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

// deliver hands consecutive events to the room's members, as many at once as partLimit allows. It is either messages or
// one event of another kind.
func (r *room) deliver(batch []arrival) {
	for len(batch) > 0 {
		n, bytes := 0, 0
		for n < len(batch) && n < partLimit.Messages {
			if m := batch[n].ev.Message; m != nil {
				if bytes += len(m.Text); n > 0 && bytes > partLimit.Bytes {
					bytes -= len(m.Text)
					break
				}
			}
			n++
		}
		if bytes > 0 {
			r.keepPace()
		}
		r.deliverPart(batch[:n], bytes)
		batch = batch[n:]
	}
}

// deliverPart is deliver for as many events as are handed out at once, with so many bytes of text: encoded once per format,
// the same bytes to all but those who are to see something else.
func (r *room) deliverPart(batch []arrival, bytes int) {
	apart := r.apart(batch)
	d := &delivery{dones: make([]func(Delivered), len(batch)), pace: &r.pace, bytes: int64(bytes)}
	r.pace.unwritten.Add(d.bytes)
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
		bytes := r.encode(batch, a.format, nil)
		if len(bytes) == 0 {
			continue
		}
		var mine []*Member
		for _, m := range apart {
			if m.audience == a {
				mine = append(mine, m)
			}
		}
		for _, m := range mine {
			if p := r.encode(batch, a.format, m); len(p) > 0 && !d.bundle(a.format, p, len(batch), 1).push(m) {
				slow = append(slow, m)
			}
		}
		if len(a.members) == len(mine) {
			continue
		}
		shared := d.bundle(a.format, bytes, len(batch), len(a.members)-len(mine))
		for _, m := range a.members {
			if len(mine) > 0 && slices.Contains(mine, m) {
				continue
			}
			if !shared.push(m) {
				slow = append(slow, m)
			}
		}
	}
	d.finish()
	for _, m := range slow {
		r.mute(m)
		if r.hub.hooks.MemberDropped != nil {
			r.hub.hooks.MemberDropped(batch[0].ctx, m)
		}
		m.Conn.Sink.Removed(r.id, RemovedSlow)
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

// apart returns the members that must not be handed the same bytes as all others: those whom the event is about, and
// those who sent a message with a ref of their own.
func (r *room) apart(batch []arrival) []*Member {
	if batch[0].ev.Kind != EventMessage {
		return r.excluded(batch[0].ev)
	}
	var found []*Member
	for _, b := range batch {
		if m := b.ev.from; m != nil && b.ev.Ref != "" && m.audience != nil && m.room == r && !slices.Contains(found, m) {
			found = append(found, m)
		}
	}
	return found
}

// encode returns the batch in format f, as m is to see it; a nil m stands for all who are not apart.
func (r *room) encode(batch []arrival, f Format, m *Member) []byte {
	p := r.scratch[:0]
	for _, a := range batch {
		ref := ""
		if m != nil {
			if a.ev.Kind != EventMessage {
				return nil
			}
			if a.ev.from == m {
				ref = a.ev.Ref
			}
		}
		p = f.Append(p, a.ev, ref)
	}
	if cap(p) <= maxScratch {
		r.scratch = p
	}
	return slices.Clone(p)
}

// maxScratch is the largest memory in bytes that a room keeps to encode in.
const maxScratch = 64 << 10
