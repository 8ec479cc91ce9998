package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing"
	"github.com/traceroom/traceroom/web/outbox"
)

// socket is one WebSocket connection. Its reader, the goroutine that read runs in, owns the fields that have no other
// owner; out may be used from any goroutine and is the only way to write. The rooms call Format, Push and Removed.
type socket struct {
	sockets *sockets
	conn    *rooms.Conn
	part    int
	ws      *websocket.Conn
	out     *outbox.Queue
	ctx     context.Context // says which connection this is; has no span and no end
	member  *rooms.Member
	rate    rate
	silent  int // pings without an answer; the sweeper's

	heard  atomic.Bool               // since the last ping
	ending atomic.Pointer[wsClosing] // why the server ends the connection; the first to set it wins
}

var _ rooms.Sink = (*socket)(nil)

// Format implements rooms.Sink.
func (*socket) Format() rooms.Format { return wire{} }

// Push implements rooms.Sink. A connection that is ending is not one that is too slow: it takes the bundle, and loses it.
func (c *socket) Push(b *rooms.Bundle) bool {
	if c.out.Push(b) {
		return true
	}
	if c.out.Open() {
		return false
	}
	b.Done(c.conn.ID, false)
	return true
}

// Removed implements rooms.Sink.
func (c *socket) Removed(_ string, why rooms.Removal) {
	if why == rooms.RemovedDeleted {
		c.finish(closeRoomDeleted)
		return
	}
	c.abort(closeSlow)
}

// finish closes the connection after what waits has been written.
func (c *socket) finish(why wsClosing) {
	if c.ending.CompareAndSwap(nil, &why) {
		c.out.Finish(why.frame(), closeGrace)
	}
}

// abort closes the connection without writing what waits.
func (c *socket) abort(why wsClosing) {
	if c.ending.CompareAndSwap(nil, &why) {
		c.out.Abort(why.frame(), closeGrace)
	}
}

// maxSilent is how many pings in a row without any sign of life after them end a connection.
const maxSilent = 2

var pingFrame = func() outbox.Control {
	dst, at := beginFrame(nil)
	return endFrame(dst, at, opPing)
}()

// ping looks after the connection once an interval: it asks whether the peer is there, and ends what has been silent.
func (c *socket) ping() {
	if c.heard.Swap(false) {
		c.silent = 0
	} else if c.silent++; c.silent >= maxSilent {
		c.ending.CompareAndSwap(nil, &closeSilent)
		c.out.Close()
		return
	}
	// A queue that is full has more to say than a ping.
	c.out.Push(pingFrame)
}

// noBuffers gives gorilla's writer its buffer only while it writes, which is never for long: all but its control frames
// is written by the queue.
var noBuffers = &sync.Pool{}

// TODO(cors): take other origins than the page's own, as configured. Without CheckOrigin gorilla accepts browsers of the
// same origin only, and clients that send no Origin.
var upgrader = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 512, WriteBufferPool: noBuffers}

// upgrade answers the request with 101 and takes the connection over. If it cannot, the request has been refused.
func (c *socket) upgrade(w http.ResponseWriter, r *http.Request, answered func(int)) bool {
	up := upgrader
	up.Error = func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		newProblem(status, reason.Error()).write(w)
		answered(status)
	}
	ws, err := up.Upgrade(&hijacker{ResponseWriter: w, take: c.take}, r, nil)
	if err != nil {
		// Refused above; or the connection broke, which is nobody's fault.
		var refused websocket.HandshakeError
		if c.out != nil || !errors.As(err, &refused) {
			answered(http.StatusInternalServerError)
		}
		if c.out != nil {
			c.out.Close()
		}
		return false
	}
	answered(http.StatusSwitchingProtocols)
	c.ws = ws
	ws.SetReadLimit(c.sockets.server.cfg.Limits.Frame)
	c.heard.Store(true)
	pong := ws.PingHandler()
	ws.SetPingHandler(func(data string) error { c.heard.Store(true); return pong(data) })
	ws.SetPongHandler(func(string) error { c.heard.Store(true); return nil })
	return true
}

// take puts the queue between gorilla and the connection, so that gorilla's control frames and the queue's never mix.
func (c *socket) take(conn net.Conn) net.Conn {
	c.out = outbox.New(c.sockets.pool, c.conn.ID, conn, c.sockets.server.cfg.Limits.Queue)
	return queued{conn, c.out}
}

// hijacker lets take see the connection that is hijacked.
type hijacker struct {
	http.ResponseWriter
	take func(net.Conn) net.Conn
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return h.take(conn), rw, nil
}

// queued is a connection whose writes go through a queue.
type queued struct {
	net.Conn
	out *outbox.Queue
}

// Write queues a copy of p.
func (q queued) Write(p []byte) (int, error) {
	if !q.out.Push(outbox.Control(append([]byte(nil), p...))) {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

// SetWriteDeadline does nothing: the queue has its own, and a limit that gorilla sets for a control frame would stay on
// the connection and end it at the first write afterwards.
func (queued) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection and its queue.
func (q queued) Close() error {
	q.out.Close()
	return nil
}

// begin joins the room and starts to read. ctx is that of the request; it is not kept.
func (c *socket) begin(ctx context.Context, req rooms.Join) {
	c.ctx = tracing.Detach(ctx)
	m, err := c.sockets.server.cfg.Service.Join(ctx, c.conn, req)
	if err != nil {
		e := rooms.AsError(err)
		c.tell(e, "")
		if e.Code == rooms.CodeUnavailable {
			c.finish(closeFault)
		} else {
			c.finish(wsClosing{closeNotAllowed.code, e.Detail})
		}
	}
	c.member = m
	go c.read()
}

// tell sends an error frame.
func (c *socket) tell(e *rooms.Error, ref string) {
	// Refused only when the connection is about to end anyway.
	c.out.Push(outbox.Control(appendError(nil, e.Code, e.Detail, ref)))
}

// buffers are for frames while they are read: a connection that says nothing holds none.
var buffers = sync.Pool{New: func() any { p := make([]byte, 0, 1024); return &p }}

// read reads frames until the connection ends, and then leaves.
func (c *socket) read() {
	why, answered := c.frames()
	if server := c.ending.Load(); server != nil {
		why = server.closing()
	}
	// All that waits, the answer to the peer's close frame with it, is still written.
	c.out.Finish(nil, closeGrace)
	if answered {
		c.out.ReadDone()
	}
	if c.member != nil {
		if err := c.sockets.server.cfg.Service.Leave(c.ctx, c.member); err != nil {
			c.sockets.server.logFault(c.ctx, "leave", err)
		}
	}
	if !answered {
		c.linger()
		c.out.ReadDone()
	}
	c.sockets.disconnected(c.ctx, c, why)
	c.sockets.remove(c)
}

// frames handles what the client says, and returns how the connection ended; answered: with the peer's close frame,
// behind which it says nothing more.
func (c *socket) frames() (why rooms.Closing, answered bool) {
	for {
		kind, r, err := c.ws.NextReader()
		if err == nil {
			c.heard.Store(true)
			if kind != websocket.TextMessage {
				c.finish(closeUnsupported)
				return c.wait()
			}
			err = c.frame(r)
		}
		if errors.Is(err, errNotUTF8) {
			c.finish(closeNotUTF8)
			return c.wait()
		}
		if err != nil {
			return ended(err)
		}
	}
}

// wait reads on, heeding nothing, until the peer has answered the close frame or closeGrace is over.
func (c *socket) wait() (why rooms.Closing, answered bool) {
	for {
		if _, _, err := c.ws.NextReader(); err != nil {
			return ended(err)
		}
	}
}

// linger reads on after gorilla has given up on what the peer sends, until the peer has closed or closeGrace is over:
// closing at once would reset the connection, and the peer would not learn why.
func (c *socket) linger() {
	conn := c.ws.NetConn()
	if conn.SetReadDeadline(time.Now().Add(closeGrace)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxLinger))
	}
}

// maxLinger is how many bytes are read at the most from a peer that breaks the protocol.
const maxLinger = 1 << 20

// ended is how reading ended, and whether with the peer's close frame.
func ended(err error) (why rooms.Closing, answered bool) {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return rooms.Closing{Code: closed.Code, Reason: closed.Text}, closed.Code != websocket.CloseAbnormalClosure
	case errors.Is(err, websocket.ErrReadLimit):
		return closeTooBig.closing(), false
	case strings.HasPrefix(err.Error(), "websocket: "): // gorilla's own, which it has closed with 1002 for
		return rooms.Closing{Code: websocket.CloseProtocolError, Reason: strings.TrimPrefix(err.Error(), "websocket: ")}, false
	default:
		return rooms.Closing{Code: websocket.CloseAbnormalClosure, Reason: "connection lost"}, false
	}
}

var errNotUTF8 = errors.New("not UTF-8")

// frame reads and handles one frame.
func (c *socket) frame(r io.Reader) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	p, err := readAll(r, (*buf)[:0])
	if cap(p) <= maxKept {
		*buf = p
	}
	switch {
	case err != nil:
		return err
	case !utf8.Valid(p):
		return errNotUTF8
	case c.ending.Load() != nil:
		return nil // on the way out; nothing is acknowledged any more
	}
	f, err := parseFrame(p)
	now := time.Now()
	if err == nil && !c.rate.allow(now) {
		err = &rooms.Error{Code: codeRateLimited, Detail: "too many messages; send fewer a second"}
	}
	if err == nil {
		err = c.handle(f, now)
	}
	if err != nil {
		c.tell(rooms.AsError(err), f.Ref)
	}
	return nil
}

// handle does what the client asks.
func (c *socket) handle(f frame, now time.Time) error {
	ctx := c.ctx
	if f.TraceParent != "" {
		ctx = tracing.Extract(ctx, rooms.TraceContext{Parent: f.TraceParent, State: f.TraceState})
	}
	service := c.sockets.server.cfg.Service
	if f.Type == "typing" {
		return service.Typing(ctx, c.member)
	}
	return service.Send(ctx, rooms.Post{
		RoomID: c.member.RoomID, ClientID: c.member.ClientID, Text: f.Text, Ref: f.Ref,
		Transport: c.conn.Transport, Received: now, From: c.member,
	}, func(_ *rooms.Message, err error) {
		if err != nil {
			c.tell(rooms.AsError(err), f.Ref)
		}
	})
}

// maxKept is the largest buffer that is kept for the next frame.
const maxKept = 16 << 10

func readAll(r io.Reader, p []byte) ([]byte, error) {
	for {
		if len(p) == cap(p) {
			p = append(p, 0)[:len(p)]
		}
		n, err := r.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return p, err
		}
	}
}
