package outbox

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Item is what waits in a Queue. The same Item may wait in many queues; its bytes must not change.
type Item interface {
	// Bytes is what is written, in full, before anything pushed later.
	Bytes() []byte
	// Len is how many of Limits.Items the item takes up. An item of Len 0 always fits and its bytes do not count: whoever
	// pushes one sees to it that they stay few and short.
	Len() int
	// Done is called once for each Push that returned true: when the bytes have been handed to the operating system
	// (written), or when they never will be. It is called from a writer's goroutine and must not block.
	Done(id string, written bool)
	// Late is called at most once for each Push, before Done, when the peer did not take the bytes at once.
	Late(id string)
}

// Control is an Item of bytes that nobody waits for, such as a pong or an answer to a handshake.
type Control []byte

// Bytes implements Item.
func (c Control) Bytes() []byte { return c }

// Len implements Item.
func (Control) Len() int { return 1 }

// Done implements Item.
func (Control) Done(string, bool) {}

// Late implements Item.
func (Control) Late(string) {}

// Limits bound what one peer can have a Queue hold. What the operating system keeps for the connection comes on top, and a
// buffer of maxWrite bytes while the peer is slow. Zero fields are no limits.
type Limits struct {
	Items int // the sum of the items' Len
	Bytes int // of the items that wait and of what is being written; an item that others share counts in full for each queue
	// Stall is how long a peer that has yet to take something may take nothing: then the connection is closed.
	Stall time.Duration
}

// state is how far a Queue has come.
type state uint8

const (
	open     state = iota // takes items
	draining              // takes no more; what waits and the final bytes will be written
	written               // draining, and all is written, the FIN included
	closed                // the connection is closed; nothing will be written
)

// Queue is the bounded line of what is to be written to one connection. Its methods may be called from any goroutine and
// never wait for the peer. Nothing else may write to the connection.
//
// mu guards the fields below it. It is never held during a system call, a call of an Item's methods other than Len and
// Bytes, or together with the Pool's lock. Between the moments when scheduled is set and when it is cleared, one goroutine (a
// worker of the pool, or the queue's own while the peer is slow) owns the writing.
type Queue struct {
	pool    *Pool
	id      string
	conn    net.Conn
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

// New returns the queue of conn. id is handed to the items. limits must not change; many queues may share them.
func New(pool *Pool, id string, conn net.Conn, limits *Limits) *Queue {
	q := &Queue{pool: pool, id: id, conn: conn, limits: limits}
	q.sock.init(conn)
	return q
}

// Push puts it at the end of the queue. It reports false if the item does not fit or the queue takes no more; then
// nothing of it is written and its Done is not called. An item heavier than a limit fits an empty queue.
func (q *Queue) Push(it Item) bool {
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
		q.pool.add(q)
	}
	return true
}

// Weigh is what an item takes up of Limits.Items and Limits.Bytes.
func Weigh(it Item) (n, size int) {
	if n = it.Len(); n > 0 {
		size = len(it.Bytes())
	}
	return n, size
}

// Fit reports whether an item of this weight fits where items of weight and bytes wait.
func (l *Limits) Fit(weight, bytes, n, size int) bool {
	return n == 0 || weight == 0 || (l.Items == 0 || weight+n <= l.Items) && (l.Bytes == 0 || bytes+size <= l.Bytes)
}

// Stalled reports whether the connection was closed because the peer took nothing for Limits.Stall.
func (q *Queue) Stalled() bool { return q.stalled.Load() }

// Open reports whether the queue still takes items.
func (q *Queue) Open() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state == open
}

// Finish lets what waits be written, then final (may be nil), and takes no more. When all is written, the peer is told that
// nothing more comes (a FIN). The connection is closed when ReadDone has been called as well, or after grace, whichever
// comes first. Only the first Finish or Abort counts.
func (q *Queue) Finish(final []byte, grace time.Duration) { q.end(final, grace, false) }

// Abort is Finish, but drops what waits. What is being written is completed, so that final stands on a frame's border.
func (q *Queue) Abort(final []byte, grace time.Duration) { q.end(final, grace, true) }

func (q *Queue) end(final []byte, grace time.Duration, drop bool) {
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
		q.pool.add(q)
	}
}

// ReadDone says that nobody reads from the connection any more, so that it can be closed as soon as all is written. The
// goroutine that reads calls it last, after Finish or Abort.
func (q *Queue) ReadDone() {
	q.mu.Lock()
	q.unread = true
	done := q.state == written
	q.mu.Unlock()
	if done {
		q.Close()
	}
}

// Close drops what waits and closes the connection now.
func (q *Queue) Close() {
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
	// The error of closing says nothing that anyone could act on.
	_ = q.conn.Close()
	for _, it := range dropped {
		it.Done(q.id, false)
	}
}

// take returns what waits, or the final bytes when nothing does. ok is false when there is nothing to write; the caller
// then no longer owns the writing.
func (q *Queue) take() (items []Item, final []byte, ok bool) {
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

// shut tells the peer that nothing more comes. Closing would tell it too, but would also reset the connection if the peer
// has sent what is not read yet.
func (q *Queue) shut() {
	if conn, ok := q.conn.(interface{ CloseWrite() error }); ok {
		// It fails only on a connection that is broken or closed.
		_ = conn.CloseWrite()
	}
}

// release ends the writing of items and gives their slice back for reuse. It reports whether there is more to do.
func (q *Queue) release(items []Item, ok bool) {
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

// keepItems is the largest slice that an idle queue keeps, and maxWrite how many bytes of several items are copied
// together for one system call.
const (
	keepItems = 8
	maxWrite  = 64 << 10
)

// flush writes what waits once, from a worker. It reports whether there may be more to write, in which case the caller
// still owns the writing.
func (q *Queue) flush(scratch *[]byte) (more bool) {
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
			// The socket's buffer is full. Waiting is for a goroutine of the queue's own.
			left := p[wrote:]
			if n > 1 { // p is the worker's
				left = append([]byte(nil), left...)
			}
			for _, it := range rest {
				it.Late(q.id)
			}
			q.pool.slow.Add(1)
			go q.flushSlow(left, rest[:n:n], rest[n:])
			return false
		}
		if n > 0 {
			q.release(rest[:n:n], true)
			rest = rest[n:]
		}
	}
	return true
}

// flushSlow goes on writing, waiting for the peer, until nothing is left. It ends when the connection is closed, as it is
// when the peer takes nothing for too long.
func (q *Queue) flushSlow(p []byte, writing, rest []Item) {
	defer q.pool.slow.Done()
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
		// Whoever writes next does not wait, but would be refused after the deadline. A connection without one is closed.
		_ = q.conn.SetWriteDeadline(time.Time{})
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

// writeAll writes p, waiting for the peer for as long as it takes something every limits.Stall.
func (q *Queue) writeAll(p []byte) error {
	for len(p) > 0 {
		if q.limits.Stall > 0 {
			if err := q.conn.SetWriteDeadline(time.Now().Add(q.limits.Stall)); err != nil {
				return err
			}
		}
		n, err := q.sock.write(p)
		p = p[n:]
		if late := errors.Is(err, os.ErrDeadlineExceeded); late && n > 0 {
			continue
		} else if late {
			q.stalled.Store(true)
			// Nobody reads what the operating system still holds.
			if c, ok := q.conn.(interface{ SetLinger(sec int) error }); ok {
				_ = c.SetLinger(0)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fail gives up on a connection that cannot be written to. Whoever reads from it finds it closed.
func (q *Queue) fail(items []Item) {
	q.release(items, false)
	q.Close()
}

// join returns the bytes of the first n items as one slice: the item's own if it is one, else a copy in scratch.
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
