package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/inbox"
	"github.com/traceroom/traceroom/web/outbox"
)

// socket is one WebSocket connection. Its reader, the goroutine that read runs in, owns the fields that have no other
// owner; out may be used from any goroutine and is the only way to write. The rooms call Format, Push and Removed.
type socket struct {
	sockets *sockets
	conn    *rooms.Conn
	part    int
	net     net.Conn // not to be written to
	in      *inbox.Reader
	out     *outbox.Queue
	ctx     context.Context // says which connection this is; has no span and no end
	member  *rooms.Member
	rate    rate
	silent  int // pings without an answer; the sweeper's

	reads  atomic.Bool               // the reader has started
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
func (c *socket) Removed(_ *rooms.Member, why rooms.Removal) {
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
	if c.heard.Swap(false) || !c.reads.Load() {
		// Who is still being handed the history is not heard; the queue sees to it that it takes some.
		c.silent = 0
	} else if c.silent++; c.silent >= maxSilent {
		c.ending.CompareAndSwap(nil, &closeSilent)
		c.out.Close()
		return
	}
	// A queue that is full has more to say than a ping.
	c.out.Push(pingFrame)
}

// TODO(cors): take other origins than the page's own, as configured. Without CheckOrigin gorilla accepts browsers of the
// same origin only, and clients that send no Origin.
var upgrader websocket.Upgrader

// upgrade answers the request with 101 and takes the connection over. If it cannot, the request has been refused.
func (c *socket) upgrade(w http.ResponseWriter, r *http.Request, answered func(int)) bool {
	refuse := func(status int, reason string) {
		newProblem(status, reason).write(w)
		answered(status)
	}
	if websocket.IsWebSocketUpgrade(r) {
		if status, reason := inbox.Refusal(r, w.Header()); status != 0 {
			refuse(status, reason)
			return false
		}
	}
	up := upgrader
	up.Error = func(_ http.ResponseWriter, _ *http.Request, status int, reason error) { refuse(status, reason.Error()) }
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		// Refused above; or the connection broke, which is nobody's fault.
		var refused websocket.HandshakeError
		if !errors.As(err, &refused) {
			answered(http.StatusInternalServerError)
		}
		return false
	}
	// The handshake is all that gorilla is for: what it would keep for a connection is more than an idle one may cost.
	c.net = ws.NetConn()
	c.out = outbox.New(c.sockets.pool, c.conn.ID, c.net, &c.sockets.limits)
	c.in = inbox.New(c.net, c.sockets.server.cfg.Limits.Frame)
	c.heard.Store(true)
	answered(http.StatusSwitchingProtocols)
	return true
}

// begin joins the room and starts to read. ctx is that of the request; it is not kept.
func (c *socket) begin(ctx context.Context, req rooms.Join) {
	c.ctx = span.Detach(ctx)
	m, err := c.sockets.server.join(ctx, c.conn, req)
	if err != nil && c.out.Open() { // if it has ended, the reader finds out why
		e := rooms.AsError(err)
		c.tell(e, "")
		if e.Code == rooms.CodeUnavailable {
			c.finish(closeFault)
		} else {
			c.finish(wsClosing{closeNotAllowed.code, e.Detail})
		}
	}
	c.member = m
	c.reads.Store(true)
	go c.read()
}

// tell sends an error frame.
func (c *socket) tell(e *rooms.Error, ref string) {
	// Refused only when the connection is about to end anyway.
	c.out.Push(outbox.Control(appendError(nil, e.Code, e.Detail, ref)))
}

// read reads frames until the connection ends, and then leaves.
func (c *socket) read() {
	why, answered, end := c.frames()
	if !end {
		go c.read()
		return
	}
	if server := c.ending.Load(); server != nil {
		why = server.closing()
	}
	// All that waits, the answer to the peer's close frame with it, is still written.
	c.out.Finish(nil, closeGrace)
	if c.member != nil {
		if err := c.sockets.server.cfg.Service.Leave(c.ctx, c.member); err != nil {
			c.sockets.server.logFault(c.ctx, "leave", err)
		}
	}
	c.sockets.disconnected(c.ctx, c, why)
	grace := closeGrace
	if answered {
		grace = behindClose
	}
	c.in.Drain(grace)
	c.out.ReadDone()
	c.sockets.remove(c)
}

// frames handles what the client says, and returns how the connection ended; answered: with the peer's close frame,
// behind which it should say nothing more. Or it has not ended, but the goroutine's stack has grown while handling a message,
// and the client has gone quiet: then it is for a new goroutine, with a small stack, to wait for more.
func (c *socket) frames() (why rooms.Closing, answered, end bool) {
	grown := false
	for {
		op, p, err := c.in.Next()
		if err != nil {
			return c.lost(err), false, true
		}
		c.heard.Store(true)
		switch op {
		case inbox.Pong:
			// That the client answers a ping is the one thing that happens to a quiet connection.
			if grown {
				return rooms.Closing{}, false, false
			}
		case inbox.Ping:
			c.pong(p)
			grown = true
		case inbox.Close:
			why, answered = c.closed(p)
			return why, answered, true
		default:
			// What comes after the server's close frame is not heeded, and not acknowledged.
			if c.ending.Load() != nil {
				continue
			}
			if err := c.message(op, p); err != nil {
				return c.lost(err), false, true
			}
			grown = true
		}
	}
}

// pong answers a ping. A queue that is full has more to say.
func (c *socket) pong(p []byte) {
	dst, at := beginFrame(make([]byte, 0, 2+len(p)))
	c.out.Push(outbox.Control(endFrame(append(dst, p...), at, opPong)))
}

// closed answers the peer's close frame.
func (c *socket) closed(p []byte) (why rooms.Closing, answered bool) {
	code, reason, err := inbox.ParseClose(p)
	if err != nil {
		return c.lost(err), false
	}
	answer := closeFrame(code, "")
	if len(p) == 0 {
		answer = emptyCloseFrame
	}
	c.out.Finish(answer, closeGrace)
	return rooms.Closing{Code: code, Reason: reason}, true
}

// errNotText is the error for a binary message.
var errNotText = errors.New("binary message")

// lost is why reading ended without the peer's close frame. If that is the peer's fault, it is told.
func (c *socket) lost(err error) rooms.Closing {
	var broke inbox.ProtocolError
	var why wsClosing
	switch {
	case c.out.Stalled():
		return closeSlow.closing() // which it was not told, as it takes nothing
	case errors.As(err, &broke):
		why = wsClosing{websocket.CloseProtocolError, broke.Error()}
	case errors.Is(err, inbox.ErrTooLong):
		why = closeTooBig
	case errors.Is(err, inbox.ErrNotUTF8):
		why = closeNotUTF8
	case errors.Is(err, errNotText):
		why = closeUnsupported
	default:
		return rooms.Closing{Code: websocket.CloseAbnormalClosure, Reason: "connection lost"}
	}
	c.out.Finish(why.frame(), closeGrace)
	return why.closing()
}

// message reads and handles one message. An error is one that ends the connection.
func (c *socket) message(op inbox.Op, p []byte) error {
	if op != inbox.Text {
		return errNotText
	}
	if !utf8.Valid(p) {
		return inbox.ErrNotUTF8
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
		ctx = span.Extract(ctx, f.TraceParent, f.TraceState)
	}
	service := c.sockets.server.cfg.Service
	ref := f.Ref // all that is kept of the frame until the message is stored
	if f.Type == "typing" {
		return service.Typing(ctx, c.member)
	}
	return service.Send(ctx, rooms.Post{
		RoomID: c.member.RoomID, ClientID: c.member.ClientID, Text: f.Text, Ref: ref,
		Transport: c.conn.Transport, Received: now, From: c.member,
	}, func(_ *rooms.Message, _ bool, err error) {
		if err != nil {
			c.tell(rooms.AsError(err), ref)
		}
	})
}
