package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/traceroom/traceroom/rooms"
)

const (
	maxWaiting = 4096 // calls that wait for a transaction; others wait for a place
	maxBatch   = 1024 // messages after which a transaction takes no further calls
)

var errClosed = errors.New("store: closed")

// group puts calls of Append that come together into shared transactions. It has no goroutine of its own: a call enters the
// queue, and any waiting call that gets a permit commits what is in the queue, itself among it, while the others wait
// for their outcome. So a call that comes alone commits in its own goroutine, without a hand-over to another.
//
// append may be called from any goroutine. Lock order: closing, then a permit, then what commit locks.
type group struct {
	queue   chan *call
	permits chan *permit // those that are not in use
	commit  func(ctx context.Context, calls []*call)
	spare   sync.Pool // of *call: saves 3 of 16 allocations an append (BenchmarkAppend)

	closing sync.RWMutex // held for reading by each call; guards closed
	closed  bool
}

// permit is the right to commit. calls is the memory for it.
type permit struct{ calls []*call }

// call is one Append. While it is in the queue, whoever moves state from waiting on owns its other fields; done hands them back.
type call struct {
	roomID  string
	drafts  []rooms.Draft
	err     error      // set by commit
	repeats []repeat   // set by commit
	done    chan error // receives once, from the permit that took the call; capacity 1
	state   atomic.Int32
}

// States of a call.
const (
	waiting   int32 = iota
	taken           // by a transaction
	withdrawn       // by its caller; whoever finds it in the queue discards it
)

// newGroup returns a group that runs as many transactions at once as there are permits. commit must set err of each call. Its ctx
// has the values of one of the callers' and does not end.
func newGroup(permits int, commit func(context.Context, []*call)) *group {
	g := &group{queue: make(chan *call, maxWaiting), permits: make(chan *permit, permits), commit: commit}
	g.spare.New = func() any { return &call{done: make(chan error, 1)} }
	for range permits {
		g.permits <- &permit{}
	}
	return g
}

// append waits until the drafts are committed or have failed. If ctx ends while they are still in the queue, they are
// withdrawn; once a transaction has taken them, its outcome is theirs.
func (g *group) append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if len(drafts) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.closing.RLock()
	defer g.closing.RUnlock()
	if g.closed {
		return errClosed
	}

	c := g.spare.Get().(*call)
	c.roomID, c.drafts = roomID, drafts
	c.state.Store(waiting)
	select {
	case g.queue <- c:
	case <-ctx.Done():
		g.release(c)
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		g.release(c)
		return err
	case p := <-g.permits:
		// Other rooms add their calls: without it, 3 messages in a transaction instead of 34 (BenchmarkAppendRooms).
		runtime.Gosched()
		for c.state.Load() == waiting {
			g.run(ctx, p)
		}
		g.permits <- p
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	}
	err := <-c.done
	g.release(c)
	return err
}

// run commits what is in the queue, as far as one transaction takes it.
func (g *group) run(ctx context.Context, p *permit) {
	p.calls = p.calls[:0]
	for messages := 0; messages < maxBatch; {
		select {
		case c := <-g.queue:
			if c.state.CompareAndSwap(waiting, taken) {
				p.calls = append(p.calls, c)
				messages += len(c.drafts)
			} else {
				g.release(c)
			}
			continue
		default:
		}
		break
	}
	if len(p.calls) == 0 {
		return
	}
	g.commit(context.WithoutCancel(ctx), p.calls)
	for i, c := range p.calls {
		p.calls[i] = nil
		c.done <- c.err
	}
}

// close waits for the calls under way; later ones get errClosed. It reports false if the group was closed before.
func (g *group) close() bool {
	g.closing.Lock()
	defer g.closing.Unlock()
	was := g.closed
	g.closed = true
	return !was
}

// release keeps c for a later append.
func (g *group) release(c *call) {
	c.roomID, c.drafts, c.err, c.repeats = "", nil, nil, nil
	g.spare.Put(c)
}
