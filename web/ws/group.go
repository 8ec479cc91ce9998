package ws

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/traceroom/traceroom/web/workers"
)

// Options are what the connections of a Group have in common.
type Options struct {
	Limits // of what waits for one connection

	// MaxMessage is the length in bytes of the longest message that a peer may send, its fragments together.
	MaxMessage int64
	// PingInterval is the time between pings. A peer that is not heard of for two of them is dropped; data counts as
	// well as pongs. Zero: no pings.
	PingInterval time.Duration
	// Linger is how long a connection that has been ended may take to write what waits, and its peer to answer the close
	// frame.
	Linger time.Duration
	// CheckOrigin says whether a request may come from where its Origin header says. nil: from the same host, or without the
	// header, as from clients that are no browsers.
	CheckOrigin func(r *http.Request) bool
	// Gone, if not nil, is called once for every connection that Upgrade has returned, when it counts no more.
	Gone func()
}

// Group is the open connections of one server. Its methods may be called from any goroutine.
//
// mu guards conns and why. It is not held while anything else is called.
type Group struct {
	pool *workers.Pool
	opts Options
	open sync.WaitGroup // the connections

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	closed bool
	why    Status // set once, before closed
}

// NewGroup returns a Group whose connections use pool, which must not be closed before they have gone.
func NewGroup(pool *workers.Pool, opts Options) *Group {
	return &Group{pool: pool, opts: opts, conns: make(map[*Conn]struct{})}
}

// add takes c in, unless the group is closed, and plans its first ping: pings of connections that are opened together
// spread over the interval.
func (g *Group) add(c *Conn) bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.conns[c] = struct{}{}
	g.open.Add(1)
	g.mu.Unlock()
	c.planPing(true)
	return true
}

func (g *Group) remove(c *Conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	if g.opts.Gone != nil {
		g.opts.Gone()
	}
	g.open.Done()
}

func (g *Group) snapshot() []*Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	conns := make([]*Conn, 0, len(g.conns))
	for c := range g.conns {
		conns = append(conns, c)
	}
	return conns
}

// Close ends all connections with why, after what waits for them, and all that are opened later.
func (g *Group) Close(why Status) {
	g.mu.Lock()
	if !g.closed {
		g.closed, g.why = true, why
	}
	g.mu.Unlock()
	for _, c := range g.snapshot() {
		c.Finish(why)
	}
}

// HangUp closes all connections now, without a close frame.
func (g *Group) HangUp() {
	for _, c := range g.snapshot() {
		c.Close()
	}
}

// Wait waits until the connections of a closed Group have gone. The error is that of ctx, if it ends before.
func (g *Group) Wait(ctx context.Context) error {
	gone := make(chan struct{})
	go func() {
		g.open.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
