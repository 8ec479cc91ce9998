package rooms

import (
	"sync/atomic"
	"time"
)

// The members' queues are bounded in bytes, so that a burst of long messages would fill those of members that read well. While more
// than paceBytes of delivered text have not been written to all members, a room waits, for paceWait at most, before it delivers
// as much again. A member that does not read so delays the others until its own queue is full: two or three times.
const (
	paceBytes = 256 << 10
	paceWait  = 500 * time.Millisecond
)

// pace is how far a room's members are behind. written may be called from any goroutine; allowed and waiter belong to the
// room's goroutine.
type pace struct {
	unwritten atomic.Int64  // bytes of text that have not been written to all members
	waiting   atomic.Bool   // the room waits for unwritten to fall
	fallen    chan struct{} // receives when it has fallen; capacity 1, so that sending never blocks
	allowed   int64         // the room does not wait while unwritten is at most this
	waiter    waiter
}

// written notes that this many bytes have been written to all members, or never will be.
func (p *pace) written(bytes int64) {
	if p.unwritten.Add(-bytes) <= paceBytes && p.waiting.Load() {
		select {
		case p.fallen <- struct{}{}:
		default:
		}
	}
}

// keepPace waits while the room's members are too far behind.
func (r *room) keepPace() {
	p := &r.pace
	behind := p.unwritten.Load()
	if behind <= paceBytes {
		p.allowed = paceBytes
	}
	if behind <= p.allowed || r.hub.closing.Load() {
		return
	}
	p.waiting.Store(true)
	until := time.Now().Add(paceWait)
	for p.unwritten.Load() > paceBytes {
		if !p.waiter.await(p.fallen, time.Until(until)) {
			p.allowed = p.unwritten.Load() + paceBytes
			break
		}
	}
	p.waiting.Store(false)
}
