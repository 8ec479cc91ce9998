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
	bytes     []byte
	events    int
	transport string
	pending   atomic.Int32
	dropped   atomic.Int32
	last      time.Time // written by whoever takes pending to zero
	d         *delivery
}

// Bytes is what is to be written: every event of the bundle, in order, in full.
func (b *Bundle) Bytes() []byte { return b.bytes }

// Len is how many events the bundle holds: what it weighs in a queue.
func (b *Bundle) Len() int { return b.events }

// Done reports that the connection with this id was handed the bytes, or never will be. It is called once for every
// Push that returned true, from any goroutine.
func (b *Bundle) Done(connID string, written bool) {
	if !written {
		b.dropped.Add(1)
		b.d.note(connID, true)
	}
	b.finish(connID)
}

// Late reports that the connection with this id could not take the bytes at once: its peer is slow in reading. It may
// be called before Done, once.
func (b *Bundle) Late(connID string) { b.d.note(connID, false) }

func (b *Bundle) finish(connID string) {
	if b.pending.Add(-1) == 0 {
		b.last = time.Now()
		b.d.finish(connID)
	}
}

// delivery is the way of a batch of events to the members of a room on this node. It ends when the last write has
// returned; then everyone who wanted to know is told.
type delivery struct {
	dones   []func(Delivered) // by event; may hold nil
	bundles []*Bundle
	counts  []int // recipients, by bundle
	pending atomic.Int32

	mu    sync.Mutex // guards notes
	notes []Notable
}

func (d *delivery) note(connID string, dropped bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notes) < MaxNotes {
		d.notes = append(d.notes, Notable{ConnID: connID, Dropped: dropped, At: now})
	}
}

func (d *delivery) finish(slowest string) {
	if d.pending.Add(-1) != 0 {
		return
	}
	result := Delivered{Slowest: slowest}
	for i, b := range d.bundles {
		if d.counts[i] == 0 {
			continue
		}
		dropped := int(b.dropped.Load())
		at := slices.IndexFunc(result.ByTransport, func(t TransportDelivered) bool { return t.Transport == b.transport })
		if at < 0 {
			at = len(result.ByTransport)
			result.ByTransport = append(result.ByTransport, TransportDelivered{Transport: b.transport})
		}
		t := &result.ByTransport[at]
		t.Written += d.counts[i] - dropped
		t.Dropped += dropped
		if b.last.After(t.Last) {
			t.Last = b.last
		}
	}
	d.mu.Lock()
	result.Notes = d.notes
	d.mu.Unlock()
	for _, done := range d.dones {
		if done != nil {
			done(result)
		}
	}
}

// arrival is an event on its way to this node's members, with the context of whoever published it.
type arrival struct {
	ctx context.Context
	ev  *Event
}
