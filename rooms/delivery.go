package rooms

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bundle is one or more consecutive events of a room, encoded in one wire format. All members that use the format are
// handed the same Bundle. It may be read from any goroutine; its bytes must not be changed.
type Bundle struct {
	bytes      []byte
	events     int
	transport  string
	recipients int
	delivery   *delivery

	pending atomic.Int32 // recipients whose write has not returned
	refused atomic.Int32 // recipients whose queue was full
	lost    atomic.Int32 // recipients whose connection ended first

	// Written once, by the goroutine that takes pending to zero.
	last    time.Time // when the last write returned
	slowest string    // id of its connection
}

// Bytes returns the bytes to write: every event of the bundle, in order and complete.
func (b *Bundle) Bytes() []byte { return b.bytes }

// Len returns how many events the bundle holds, which is what it counts for in a queue.
func (b *Bundle) Len() int { return b.events }

// Done reports that the bytes were written to the connection with this id, or that they never will be. It must be called once
// for every Push that returned true, from any goroutine.
func (b *Bundle) Done(connID string, written bool) {
	if !written {
		b.lost.Add(1)
		b.delivery.note(connID, true)
	}
	b.countOff(connID)
}

// countOff counts off one recipient.
func (b *Bundle) countOff(connID string) {
	if b.pending.Add(-1) == 0 {
		b.last, b.slowest = time.Now(), connID
		b.delivery.finish()
	}
}

// Late reports that the connection with this id could not take the bytes at once, because its peer reads slowly. It may
// be called once, before Done, from any goroutine.
func (b *Bundle) Late(connID string) { b.delivery.note(connID, false) }

// push hands b to m. It reports false if m's queue is full; b is then lost for m.
func (b *Bundle) push(m *Member) bool {
	if m.Conn.Sink.Push(b) {
		return true
	}
	b.refused.Add(1)
	b.delivery.note(m.Conn.ID, true)
	b.countOff(m.Conn.ID)
	return false
}

// delivery is the delivery of consecutive events to the members of a room on this node. It ends when the last write has
// returned, and then calls dones. Its methods may be called from any goroutine, except bundle.
type delivery struct {
	dones   []func(Delivered) // by event; elements may be nil
	bundles []*Bundle
	pace    *pace        // nil: the delivery is not counted
	size    int64        // of the text, in bytes
	pending atomic.Int32 // bundles with pending recipients, and 1 while the room still adds bundles

	mu    sync.Mutex // guards notes
	notes []Notable
}

// bundle adds a bundle for this many recipients. It belongs to the room's goroutine, which must hold one of pending or add
// no other bundle.
func (d *delivery) bundle(f Format, bytes []byte, events, recipients int) *Bundle {
	b := &Bundle{bytes: bytes, events: events, transport: f.Transport(), recipients: recipients, delivery: d}
	b.pending.Store(int32(recipients))
	d.pending.Add(1)
	d.bundles = append(d.bundles, b)
	return b
}

// note notes that a connection was late, or has not got the events.
func (d *delivery) note(connID string, dropped bool) {
	at := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notes) < MaxNotes {
		d.notes = append(d.notes, Notable{ConnID: connID, Dropped: dropped, At: at})
	}
}

// finish counts off one of pending. The last one ends the delivery.
func (d *delivery) finish() {
	if d.pending.Add(-1) != 0 {
		return
	}
	if d.pace != nil {
		d.pace.written(d.size)
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

// deliver hands events to the room's members, as many at once as partLimit allows. batch is either consecutive messages or
// one event of another kind.
func (r *room) deliver(batch []arrival) {
	for len(batch) > 0 {
		n, size := 0, 0
		for ; n < len(batch) && n < partLimit.Messages; n++ {
			if m := batch[n].ev.Message; m != nil {
				if n > 0 && size+len(m.Text) > partLimit.Bytes {
					break
				}
				size += len(m.Text)
			}
		}
		if size > 0 {
			r.keepPace()
		}
		r.deliverTogether(batch[:n], size)
		batch = batch[n:]
	}
}

// deliverTogether hands events with this many bytes of text to the members. It encodes them once for each format; all members
// of a format get the same bytes, except those that setApart returns.
func (r *room) deliverTogether(batch []arrival, size int) {
	apart := r.setApart(batch)
	d := &delivery{dones: make([]func(Delivered), len(batch)), pace: &r.pace, size: int64(size)}
	r.pace.unwritten.Add(d.size)
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
		bytes := r.encoder.encode(batch, a.format)
		if len(bytes) == 0 {
			continue
		}
		shared := len(a.members)
		for _, m := range apart {
			if m.audience != a {
				continue
			}
			shared--
			if batch[0].ev.Kind != EventMessage {
				continue // it is about m's client
			}
			if own := r.encoder.encodeFor(m, batch, bytes); len(own) > 0 && !d.bundle(a.format, own, len(batch), 1).push(m) {
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
		r.drop(m)
	}
}

// deliverTo hands ev to m alone, with its ref. It reports false if m's queue is full.
func (r *room) deliverTo(m *Member, ev *Event) bool {
	f := m.Conn.Sink.Format()
	bytes := f.Append(nil, ev, ev.Ref)
	return len(bytes) == 0 || m.Conn.Sink.Push(new(delivery).bundle(f, bytes, 1, 1))
}

// drop removes a member whose queue is full.
func (r *room) drop(m *Member) {
	r.sendNoMore(m)
	m.Conn.Sink.Removed(m, RemovedSlow)
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

// setApart returns the members that must not get the same bytes as all others, with apart set: those that the event is
// about, and those that sent a message with a ref.
func (r *room) setApart(batch []arrival) []*Member {
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
