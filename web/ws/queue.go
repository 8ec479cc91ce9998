package ws

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traceroom/traceroom/web/workers"
)

// Item is bytes that are queued: one or more whole frames as a server writes them. The same Item may be queued for many
// connections; its bytes must not change.
type Item interface {
	// Bytes returns what is written, in full, before anything that is pushed later.
	Bytes() []byte
	// Len is how much of Limits.Items the item takes up. An item of Len 0 always fits and its bytes do not count: whoever
	// pushes such items sees to it that they stay few and short.
	Len() int
	// Done is called once for each Push that returned true: when the bytes have been given to the operating system
	// (written), or when they never will be. id is that of the connection. It is called by a goroutine that writes and must
	// not block.
	Done(id string, written bool)
	// Late is called at most once for each Push, before Done, if the peer does not take the bytes at once.
	Late(id string)
}

// Bytes is an Item of Len 1 that nobody waits for.
type Bytes []byte

// Bytes implements Item.
func (b Bytes) Bytes() []byte { return b }

// Len implements Item.
func (Bytes) Len() int { return 1 }

// Done implements Item.
func (Bytes) Done(string, bool) {}

// Late implements Item.
func (Bytes) Late(string) {}

// Limits bound what one peer can make a queue hold. What the operating system keeps for the connection comes on top, and a
// buffer of at most 64 KiB while the peer is slow. Fields that are zero are no limits.
type Limits struct {
	Items int // the sum of the items' Len
	Bytes int // of items that wait or are being written; an item that many queues share counts in full for each of them
	// Stall is how long a peer may take nothing while there is something for it to take; then the connection is closed.
	Stall time.Duration
}

// Weigh returns what an item takes up of Limits.Items and Limits.Bytes.
func Weigh(it Item) (n, size int) {
	if n = it.Len(); n > 0 {
		size = len(it.Bytes())
	}
	return n, size
}

// Fit reports whether an item that weighs n and size fits where items that weigh weight and bytes wait. An item that is
// heavier than a limit fits where nothing waits.
func (l *Limits) Fit(weight, bytes, n, size int) bool {
	return n == 0 || weight == 0 || (l.Items == 0 || weight+n <= l.Items) && (l.Bytes == 0 || bytes+size <= l.Bytes)
}

// state is how far a queue has come.
type state uint8

const (
	open     state = iota // takes items
	draining              // takes no more; what waits and the final bytes will be written
	written               // draining, and all is written, the FIN included
	closed                // the connection is closed; nothing will be written
)

// queue is what waits to be written to one connection, in order, and writes it. Its methods may be called from any goroutine
// and never wait for the peer. Nothing else may write to the connection.
//
// mu guards the fields below it. It is not held during system calls, nor while methods of an Item other than Len and Bytes
// or of the Pool are called. From the moment scheduled is set until it is cleared, one goroutine owns the writing: one of
// the pool's, or, while the peer is slow, one of the queue's own.
type queue struct {
	pool    *workers.Pool
	id      string
	limits  *Limits
	sock    socket
	stalled atomic.Bool

	mu        sync.Mutex
	items     []Item
	weight    int // of items and of what is being written
	bytes     int // likewise
	state     state
	scheduled bool
	unread    bool // nobody reads from the connection any more: close it once all is written
	final     []byte
	deadline  *time.Timer // closes the connection if draining takes too long
}

// init prepares q. id is given to the items. limits must not change; many queues may share them.
func (q *queue) init(pool *workers.Pool, id string, conn net.Conn, limits *Limits) {
	q.pool, q.id, q.limits = pool, id, limits
	q.sock.init(conn)
}

// Push adds it to the end of the queue. It returns false if the item does not fit or the queue takes no more; then
// nothing of it is written and its Done is not called. An item that is heavier than a limit fits in an empty queue.
func (q *queue) Push(it Item) bool {
	n, size := Weigh(it)
	q.mu.Lock()
	if q.state != open || !q.limits.Fit(q.weight, q.bytes, n, size) {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, it)
	q.weight += n
	q.bytes += size
	start := !q.scheduled
	q.scheduled = true
	q.mu.Unlock()
	if start {
		q.pool.Add(q)
	}
	return true
}

// Stalled reports whether the connection was closed because the peer took nothing for Limits.Stall.
func (q *queue) Stalled() bool { return q.stalled.Load() }

// Open reports whether the queue still takes items.
func (q *queue) Open() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state == open
}

// Finish makes the queue take no more. What waits is still written, then final, which may be nil, and then a FIN, which
// tells the peer that nothing more comes. The connection is closed when ReadDone has been called as well, or after grace,
// whichever comes first. Only the first Finish or Abort counts.
func (q *queue) Finish(final []byte, grace time.Duration) { q.end(final, grace, false) }

// Abort is like Finish but drops what waits. What is being written is completed, so that final follows a whole frame.
func (q *queue) Abort(final []byte, grace time.Duration) { q.end(final, grace, true) }

func (q *queue) end(final []byte, grace time.Duration, drop bool) {
	q.mu.Lock()
	if q.state != open {
		q.mu.Unlock()
		return
	}
	q.state = draining
	q.final = final
	var dropped []Item
	if drop {
		dropped, q.items = q.items, nil
		for _, it := range dropped {
			n, size := Weigh(it)
			q.weight -= n
			q.bytes -= size
		}
	}
	q.deadline = time.AfterFunc(grace, q.Close)
	start := !q.scheduled
	q.scheduled = true
	q.mu.Unlock()
	for _, it := range dropped {
		it.Done(q.id, false)
	}
	if start {
		q.pool.Add(q)
	}
}

// ReadDone says that nobody reads from the connection any more, so that it is closed as soon as all is written. The
// goroutine that reads calls it last, after Finish or Abort.
func (q *queue) ReadDone() {
	q.mu.Lock()
	q.unread = true
	done := q.state == written
	q.mu.Unlock()
	if done {
		q.Close()
	}
}

// Close drops what waits and closes the connection now.
func (q *queue) Close() {
	q.mu.Lock()
	if q.state == closed {
		q.mu.Unlock()
		return
	}
	q.state = closed
	dropped := q.items
	q.items = nil
	if q.deadline != nil {
		q.deadline.Stop()
	}
	q.mu.Unlock()
	// Nobody could act on an error of closing.
	_ = q.sock.conn.Close()
	for _, it := range dropped {
		it.Done(q.id, false)
	}
}

// take returns what waits, or the final bytes when nothing does. ok is false when there is nothing to write; the caller
// then no longer owns the writing.
func (q *queue) take() (items []Item, final []byte, ok bool) {
	q.mu.Lock()
	if len(q.items) > 0 && q.state != closed {
		items, q.items = q.items, nil
		q.mu.Unlock()
		return items, nil, true
	}
	if q.state == draining && q.final != nil {
		final, q.final = q.final, nil
		q.mu.Unlock()
		return nil, final, true
	}
	q.scheduled = false
	last := q.state == draining
	if last {
		q.state = written
	}
	hangUp := q.state == written && q.unread
	q.mu.Unlock()
	switch {
	case hangUp:
		q.Close()
	case last:
		q.shut()
	}
	return nil, nil, false
}

// shut sends a FIN. Closing would do so too, but would reset the connection if the peer has sent something that has not
// been read.
func (q *queue) shut() {
	if conn, ok := q.sock.conn.(interface{ CloseWrite() error }); ok {
		// It fails only if the connection is broken or closed.
		_ = conn.CloseWrite()
	}
}

// release ends the writing of items, successful or not, and keeps their slice for reuse.
func (q *queue) release(items []Item, ok bool) {
	weight, bytes := 0, 0
	for i, it := range items {
		n, size := Weigh(it)
		weight += n
		bytes += size
		it.Done(q.id, ok)
		items[i] = nil
	}
	q.mu.Lock()
	q.weight -= weight
	q.bytes -= bytes
	if q.items == nil && cap(items) <= keepItems {
		q.items = items[:0]
	}
	q.mu.Unlock()
}

// keepItems is the capacity of the largest slice that an idle queue keeps. maxWrite is how many bytes of several items are
// copied together for one system call.
const (
	keepItems = 8
	maxWrite  = 64 << 10
)

// Run implements workers.Task: it writes what waits now. It returns true if there may be more to write; then the pool still
// owns the writing.
func (q *queue) Run(scratch *[]byte) (again bool) {
	items, final, ok := q.take()
	if !ok {
		return false
	}
	for rest := items; len(rest) > 0 || final != nil; {
		var p []byte
		var n int
		if final != nil {
			p, final = final, nil
		} else {
			p, n = join(rest, scratch)
		}
		wrote, err := q.sock.tryWrite(p)
		if err != nil {
			q.fail(rest)
			return true
		}
		if wrote < len(p) {
			// The socket's buffer is full. A goroutine of the queue's own waits for the peer. It must not use scratch, which
			// is written over by the next task: an item's own bytes it may use, a copy of several items it may not.
			left := p[wrote:]
			if n > 1 {
				left = append([]byte(nil), left...)
			}
			for _, it := range rest {
				it.Late(q.id)
			}
			writing, after := rest[:n:n], rest[n:] // not rest, which a closure would move to the heap at every call
			q.pool.Go(func() { q.flushSlow(left, writing, after) })
			return false
		}
		if n > 0 {
			q.release(rest[:n:n], true)
			rest = rest[n:]
		}
	}
	return true
}

// flushSlow writes p, then rest and what is pushed meanwhile, and waits for the peer, until nothing is left or the connection
// is closed, as it is if the peer takes nothing for too long. p is the bytes of writing that have not been written.
func (q *queue) flushSlow(p []byte, writing, rest []Item) {
	var scratch []byte
	for {
		for len(p) > 0 {
			if err := q.writeAll(p); err != nil {
				q.fail(append(writing, rest...))
				break
			}
			q.release(writing, true)
			writing, p = nil, nil
			if len(rest) > 0 {
				var n int
				p, n = join(rest, &scratch)
				writing, rest = rest[:n:n], rest[n:]
			}
		}
		// After the deadline the next write would fail, though it does not wait. It can be set unless the connection is closed.
		_ = q.sock.conn.SetWriteDeadline(time.Time{})
		items, final, ok := q.take()
		if !ok {
			return
		}
		if final != nil {
			p = final
			continue
		}
		var n int
		p, n = join(items, &scratch)
		writing, rest = items[:n:n], items[n:]
	}
}

// writeAll writes p. It waits for the peer, and gives up when that takes nothing for limits.Stall.
func (q *queue) writeAll(p []byte) error {
	for len(p) > 0 {
		if q.limits.Stall > 0 {
			if err := q.sock.conn.SetWriteDeadline(time.Now().Add(q.limits.Stall)); err != nil {
				return err
			}
		}
		n, err := q.sock.write(p)
		p = p[n:]
		if late := errors.Is(err, os.ErrDeadlineExceeded); late && n > 0 {
			continue
		} else if late {
			q.stalled.Store(true)
			// Nobody will read what the operating system still holds.
			if c, ok := q.sock.conn.(interface{ SetLinger(sec int) error }); ok {
				_ = c.SetLinger(0)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fail closes a connection that cannot be written to. Whoever reads from it finds it closed.
func (q *queue) fail(items []Item) {
	q.release(items, false)
	q.Close()
}

// join returns the bytes of the first n items as one slice. If n is 1 they are the item's own, else a copy in *scratch.
func join(items []Item, scratch *[]byte) (p []byte, n int) {
	p = items[0].Bytes()
	if len(items) == 1 || len(p)+len(items[1].Bytes()) > maxWrite {
		return p, 1
	}
	buf := append((*scratch)[:0], p...)
	for n = 1; n < len(items); n++ {
		b := items[n].Bytes()
		if len(buf)+len(b) > maxWrite {
			break
		}
		buf = append(buf, b...)
	}
	*scratch = buf
	return buf, n
}
