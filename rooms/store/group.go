package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/traceroom/traceroom/rooms"
)

// Bounds of the line and of one transaction. A transaction takes calls until it has this many messages.
const (
	maxWaiting = 4096
	maxBatch   = 1024
)

var errClosed = errors.New("store: closed")

// group gathers appends that arrive together into shared transactions. It has no goroutine of its own: a call gets in
// line, and whichever waiting call finds a turn free commits all that is in the line, its own call among it, while the
// others wait for their results. A lone call is so committed in its own goroutine, with no hand-over.
//
// Lock order: life, then a turn, then whatever commit takes. Each call's done is sent to once by the turn that took
// the call; it is never closed.
type group struct {
	line   chan *call
	turns  chan *turn // those that are free
	commit func(ctx context.Context, calls []*call)
	spare  sync.Pool // of *call

	life   sync.RWMutex // held for reading by every call; guards closed
	closed bool
}

// turn is the right to commit, with the memory it takes.
type turn struct{ calls []*call }

// call is one Append on its way. Between being put in line and its done, whoever moves state to taken owns the rest.
type call struct {
	roomID  string
	drafts  []rooms.Draft
	err     error    // set by commit
	repeats []repeat // commit's
	done    chan error
	state   atomic.Int32
}

const (
	waiting int32 = iota
	taken
	withdrawn // by its caller; whoever finds it in line discards it
)

// newGroup returns a group with this many transactions at once. commit sets err of each call; it is told the context
// of one of the callers, for its values alone.
func newGroup(turns int, commit func(context.Context, []*call)) *group {
	g := &group{line: make(chan *call, maxWaiting), turns: make(chan *turn, turns), commit: commit}
	g.spare.New = func() any { return &call{done: make(chan error, 1)} }
	for range turns {
		g.turns <- &turn{}
	}
	return g
}

// append waits until the drafts are committed or have failed. If ctx ends while they are still in line they are
// withdrawn; once a transaction has taken them, its outcome is theirs.
func (g *group) append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if len(drafts) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	g.life.RLock()
	defer g.life.RUnlock()
	if g.closed {
		return errClosed
	}

	c := g.spare.Get().(*call)
	c.roomID, c.drafts = roomID, drafts
	c.state.Store(waiting)
	select {
	case g.line <- c:
	case <-ctx.Done():
		g.release(c)
		return ctx.Err()
	}
	select {
	case err := <-c.done:
		g.release(c)
		return err
	case t := <-g.turns:
		runtime.Gosched()
		for c.state.Load() == waiting {
			g.run(ctx, t)
		}
		g.turns <- t
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	}
	err := <-c.done
	g.release(c)
	return err
}

// run commits what is in line, up to a transaction's bound.
func (g *group) run(ctx context.Context, t *turn) {
	t.calls = t.calls[:0]
	for messages := 0; messages < maxBatch; {
		select {
		case c := <-g.line:
			if c.state.CompareAndSwap(waiting, taken) {
				t.calls = append(t.calls, c)
				messages += len(c.drafts)
			} else {
				g.release(c)
			}
			continue
		default:
		}
		break
	}
	if len(t.calls) == 0 {
		return
	}
	g.commit(context.WithoutCancel(ctx), t.calls)
	for i, c := range t.calls {
		t.calls[i] = nil
		c.done <- c.err
	}
}

// close lets the calls under way finish; later ones get errClosed. It is false if the group was closed before.
func (g *group) close() bool {
	g.life.Lock()
	defer g.life.Unlock()
	was := g.closed
	g.closed = true
	return !was
}

// release keeps c for a later append.
func (g *group) release(c *call) {
	c.roomID, c.drafts, c.err, c.repeats = "", nil, nil, nil
	g.spare.Put(c)
}
