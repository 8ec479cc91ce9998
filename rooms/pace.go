package rooms

import (
	"sync/atomic"
	"time"
)

// A room hands out no more than paceBytes of text while its members have not been written what came before: their queues are
// bounded in bytes, and a burst of long messages would fill those of members who read well. It waits for at most paceWait, and
// then hands out as much again: a member that does not read holds the others up until its own queue is full, twice or thrice.
const (
	paceBytes = 256 << 10
	paceWait  = 500 * time.Millisecond
)

// pace is how far a room's members are behind. allowed is the room's goroutine's.
type pace struct {
	unwritten atomic.Int64  // bytes of text that not all members have been written
	waiting   atomic.Bool   // the room waits for unwritten to fall
	caughtUp  chan struct{} // is told that it has; capacity 1, so that sending never blocks
	allowed   int64         // unwritten may be as much without waiting
}

// written is told that all members have been written so many bytes, or never will be.
func (p *pace) written(bytes int64) {
	if p.unwritten.Add(-bytes) <= paceBytes && p.waiting.Load() {
		select {
		case p.caughtUp <- struct{}{}:
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
		if !r.await(p.caughtUp, time.Until(until)) {
			p.allowed = p.unwritten.Load() + paceBytes
			break
		}
	}
	p.waiting.Store(false)
}
