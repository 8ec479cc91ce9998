package web

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/outbox"
)

// sweeps is how many parts the open connections are divided into: a part is looked after at a time, so that the pings of
// many connections are spread over the interval.
const sweeps = 16

// writers is how many goroutines write to sockets. They never wait for a peer; more than one lets a second processor help.
const writers = 2

// closeGrace is how long a peer may take to read what is left and to answer a close frame.
const closeGrace = 3 * time.Second

// behindClose is how long what a peer sends behind its close frame is read and discarded, unless it closes before.
const behindClose = time.Second

// sockets holds the open WebSocket connections. One goroutine, started by newSockets and ended by close, pings them all.
type sockets struct {
	server   *Server
	pool     *outbox.Pool
	limits   outbox.Limits // of each connection's queue
	instance string
	next     atomic.Int64   // number of the newest connection
	readers  sync.WaitGroup // the goroutines that read
	stop     chan struct{}
	swept    sync.WaitGroup
	parts    [sweeps]part
}

// part is some of the open connections. mu guards conns and closed and is never held while anything else is called.
type part struct {
	mu     sync.Mutex
	conns  map[*socket]struct{}
	closed bool // takes no more
}

func newSockets(s *Server) *sockets {
	l := &s.cfg.Limits
	ss := &sockets{
		server: s, pool: outbox.NewPool(writers), limits: outbox.Limits{Items: l.Queue, Bytes: l.QueueBytes, Stall: l.Stall},
		instance: instance(), stop: make(chan struct{}),
	}
	for i := range ss.parts {
		ss.parts[i].conns = make(map[*socket]struct{})
	}
	ss.swept.Go(ss.sweep)
	return ss
}

// connID names the next connection: unique among all processes, and its number within this one at the end.
func (ss *sockets) connID() (id string, part int) {
	n := ss.next.Add(1)
	return ss.instance + "-" + strconv.FormatInt(n, 10), int(n % sweeps)
}

// add takes c in, unless the server drains.
func (ss *sockets) add(c *socket) bool {
	p := &ss.parts[c.part]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[c] = struct{}{}
	ss.readers.Add(1)
	return true
}

func (ss *sockets) remove(c *socket) {
	p := &ss.parts[c.part]
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	ss.server.places.Leave()
	ss.readers.Done()
}

func (ss *sockets) part(i int, f func(*socket)) {
	p := &ss.parts[i]
	p.mu.Lock()
	conns := make([]*socket, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}

// sweep pings every connection once an interval and drops those that have been silent for two.
func (ss *sockets) sweep() {
	tick := time.NewTicker(max(ss.server.cfg.Limits.PingInterval/sweeps, time.Millisecond))
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % sweeps {
		select {
		case <-ss.stop:
			return
		case <-tick.C:
			ss.part(i, (*socket).ping)
		}
	}
}

// drain waits for the readers until ctx ends, and closes the connections that are left then.
func (ss *sockets) drain(ctx context.Context) {
	for i := range ss.parts {
		ss.parts[i].mu.Lock()
		ss.parts[i].closed = true
		ss.parts[i].mu.Unlock()
		ss.part(i, func(c *socket) { c.finish(closeGoingAway) })
	}
	done := make(chan struct{})
	go func() { ss.readers.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		for i := range ss.parts {
			ss.part(i, func(c *socket) { c.out.Close() })
		}
	}
}

// close waits for the readers of a server that has been drained, and ends the other goroutines.
func (ss *sockets) close() {
	ss.readers.Wait()
	close(ss.stop)
	ss.swept.Wait()
	ss.pool.Close()
}

// serve answers GET /ws/{room_id}/{client_id}.
func (ss *sockets) serve(w http.ResponseWriter, r *http.Request) {
	req := rooms.Join{RoomID: r.PathValue("room_id"), ClientID: r.PathValue("client_id")}
	id, part := ss.connID()
	conn := &rooms.Conn{ID: id, Transport: wire{}.Transport()}
	ctx, answered := ss.server.cfg.Connecting(r, conn)
	refuse := func(p *Problem) {
		p.write(w)
		answered(p.Status)
	}
	if err := rooms.CheckID("room_id", req.RoomID); err != nil {
		refuse(problemOf(err))
		return
	}
	if err := rooms.CheckID("client_id", req.ClientID); err != nil {
		refuse(problemOf(err))
		return
	}
	if since := r.URL.Query().Get("since"); since != "" {
		n, err := strconv.ParseInt(since, 10, 64)
		if err != nil || n < 0 {
			refuse(problemOf(&rooms.Error{Code: rooms.CodeInvalid, Field: "since", Detail: "since must be a sequence number, 0 or more"}))
			return
		}
		req.Since, req.Epoch = &n, r.URL.Query().Get("epoch")
	}
	if !ss.server.places.Take() {
		refuse(newProblem(http.StatusServiceUnavailable, "the server has as many connections as it takes; try again later"))
		return
	}
	c := &socket{sockets: ss, conn: conn, part: part, rate: newRate(ss.server.cfg.Limits.SendRate)}
	conn.Sink = c
	if !c.upgrade(w, r, answered) {
		ss.server.places.Leave()
		return
	}
	if !ss.add(c) {
		// The server began to drain after the request came in. Nobody reads: the peer's answer is not waited for.
		ss.server.places.Leave()
		c.out.Finish(closeGoingAway.frame(), closeGrace)
		c.out.ReadDone()
		ss.disconnected(span.Detach(ctx), c, closeGoingAway.closing())
		return
	}
	c.begin(ctx, req)
}

// disconnected tells the rooms that c is no more.
func (ss *sockets) disconnected(ctx context.Context, c *socket, why rooms.Closing) {
	if err := ss.server.cfg.Service.Disconnect(ctx, c.conn, why); err != nil {
		ss.server.logFault(ctx, "disconnect", err)
	}
}
