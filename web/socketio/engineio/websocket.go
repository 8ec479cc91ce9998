package engineio

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/inbox"
	"github.com/traceroom/traceroom/web/outbox"
)

// maxControls is how many pongs and answers to probes may wait in a connection's queue, which they take up nothing of.
const maxControls = 32

// behindClose is how long what a client sends behind its close frame is read and discarded, unless it closes before.
const behindClose = time.Second

// conn is a WebSocket connection. Its reader, the goroutine that read runs in, owns in; queue is the only way to write.
//
// mu guards the fields below it, and is never held while anything else is called.
type conn struct {
	net     net.Conn // not to be written to
	session *Session
	queue   *outbox.Queue
	in      *inbox.Reader

	mu       sync.Mutex
	controls int    // how many wait
	owed     []byte // the pong for the newest ping; nil: it is among those that wait
}

// answer queues bytes that answer the client, unless as many wait as may: the client does not read the ones it has got.
func (c *conn) answer(p []byte) {
	c.mu.Lock()
	full := c.controls >= maxControls
	if !full {
		c.controls++
	}
	c.mu.Unlock()
	if !full {
		c.push(p)
	}
}

// pong answers a ping. Of the pings that cannot be answered yet the newest will be (RFC 6455 section 5.5.3).
func (c *conn) pong(payload []byte) {
	p := appendFrame(nil, opPong, "", payload)
	c.mu.Lock()
	full := c.controls >= maxControls
	if full {
		c.owed = p
	} else {
		c.controls++
	}
	c.mu.Unlock()
	if !full {
		c.push(p)
	}
}

// push queues a control that has been counted.
func (c *conn) push(p []byte) {
	if !c.queue.Push(&control{conn: c, bytes: p}) {
		c.mu.Lock()
		c.controls--
		c.mu.Unlock()
	}
}

// written is told that a control waits no more. The pong that is owed takes its place.
func (c *conn) written() {
	c.mu.Lock()
	owed := c.owed
	c.owed = nil
	if owed == nil {
		c.controls--
	}
	c.mu.Unlock()
	if owed != nil {
		c.push(owed)
	}
}

// finish lets what waits be written, then a close frame.
func (c *conn) finish(code int, reason string) {
	c.queue.Finish(closeFrame(code, reason), closeGrace)
}

// control is bytes that answer the client, in a queue.
type control struct {
	conn  *conn
	bytes []byte
}

func (c *control) Bytes() []byte     { return c.bytes }
func (c *control) Len() int          { return 0 }
func (c *control) Done(string, bool) { c.conn.written() }
func (c *control) Late(string)       {}

// closeFrame is a close frame; websocket.CloseNoStatusReceived makes an empty one.
func closeFrame(code int, reason string) []byte {
	return appendFrame(nil, opClose, "", websocket.FormatCloseMessage(code, reason))
}

// The server has checked the origin for all transports.
var upgrader = websocket.Upgrader{
	CheckOrigin: func(*http.Request) bool { return true },
	Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) {
		refuse(w, badRequest)
	},
}

// upgrade makes the request a WebSocket of s. If it returns nil, the request has been answered.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, session *Session) *conn {
	if status, _ := inbox.Refusal(r, w.Header()); status != 0 {
		f := badRequest
		f.status = status
		refuse(w, f)
		return nil
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil
	}
	// The handshake is all that gorilla is for: what it would keep for a connection is more than an idle one may cost.
	c := &conn{net: ws.NetConn(), session: session}
	c.queue = outbox.New(s.pool, session.connID, c.net, &s.limits)
	c.in = inbox.New(c.net, s.opts.MaxPayload)
	return c
}

// start begins to read from c. It reports false if the server has been closed.
func (s *Server) start(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.work.Go(c.read)
	return true
}

// read reads until the connection ends, whatever has become of the session by then: a client that has been told to close
// has to be read until it does.
func (c *conn) read() {
	err := c.frames()
	c.ended(err)
	grace := closeGrace
	if closed := new(websocket.CloseError); errors.As(err, &closed) {
		grace = behindClose
	}
	c.in.Drain(grace)
	c.queue.ReadDone()
	s := c.session.server
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// frames handles what the client says, and returns why that ended.
func (c *conn) frames() error {
	for {
		op, p, err := c.in.Next()
		if err != nil {
			return err
		}
		switch op {
		case inbox.Close:
			return closeError(p)
		case inbox.Ping:
			c.pong(p)
		case inbox.Text, inbox.Binary:
			if err := c.message(p, op == inbox.Binary); err != nil {
				return err
			}
		}
	}
}

// message handles a message. An error is one that ends the connection, and the session has been told.
func (c *conn) message(data []byte, binary bool) error {
	s := c.session
	p, err := DecodePacket(data, binary)
	if !binary && !utf8.Valid(data) {
		err = ErrNotUTF8
	}
	switch {
	case s.out.Load() != c.queue:
		s.onProbe(c, p, err)
	case err != nil:
		s.malformed(err)
	default:
		s.receive(p)
	}
	return err
}

// closeError is what the payload of the client's close frame says.
func closeError(payload []byte) error {
	code, reason, err := inbox.ParseClose(payload)
	if err != nil {
		return err
	}
	return &websocket.CloseError{Code: code, Text: reason}
}

// ended says that nothing more is read, and answers the client's close frame or tells it what it did wrong.
func (c *conn) ended(err error) {
	reason := TransportError
	var closed *websocket.CloseError
	var broke inbox.ProtocolError
	switch {
	case errors.As(err, &closed):
		reason = TransportClose
		c.finish(closed.Code, "")
	case errors.As(err, &broke):
		c.finish(websocket.CloseProtocolError, broke.Error())
	case errors.Is(err, inbox.ErrTooLong):
		c.finish(websocket.CloseMessageTooBig, "")
	case errors.Is(err, inbox.ErrNotUTF8):
		c.finish(websocket.CloseInvalidFramePayloadData, "")
	default:
		reason = TransportClose
	}
	s := c.session
	if s.out.Load() != c.queue {
		s.dropProbe(c)
		return
	}
	if c.queue.Stalled() {
		reason = TooSlow
	}
	s.end(ending{reason: reason, err: err, code: websocket.CloseNormalClosure})
}

// offering says that the client is about to be told of a WebSocket that may be offered; done is to be called when that has
// happened, or not.
func (s *Session) offering() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poll
	if p == nil {
		return func() {}
	}
	p.offers++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.offers--
	}
}

// offer makes c the WebSocket that a polling session may upgrade to. It reports false if the session cannot upgrade now:
// it has ended, has upgraded, or is about to on another connection.
func (s *Session) offer(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed || s.poll == nil || s.probe != nil {
		return false
	}
	s.probe = c
	s.probeBy = s.server.sweeper.in(s.server.opts.UpgradeTimeout)
	s.plan()
	return true
}

var probeAnswer = appendFrame(nil, opText, "3probe", nil)

// onProbe takes a packet from a WebSocket that is not, or not yet, the session's transport.
func (s *Session) onProbe(c *conn, p Packet, err error) {
	if err == nil && p.Type == Ping && string(p.Data) == "probe" {
		s.mu.Lock()
		if s.probe == c {
			c.answer(probeAnswer)
			s.poll.noop = true
			s.poll.signal()
		}
		s.mu.Unlock()
		return
	}
	if err == nil && p.Type == Upgrade && s.become(c) {
		return
	}
	s.dropProbe(c)
}

// become makes c the session's transport: what waits goes there, and a poll that is under way is sent home.
func (s *Session) become(c *conn) bool {
	s.mu.Lock()
	if s.probe != c || s.state == closed {
		s.mu.Unlock()
		return false
	}
	p := s.poll
	var lost []outbox.Item
	for _, it := range p.rest() {
		// It fits, for the queue holds nothing that weighs, unless the connection has just broken.
		if !c.queue.Push(it) {
			lost = append(lost, it)
		}
	}
	s.poll, s.probe, s.probeBy = nil, nil, 0
	p.last, p.upgraded = Noop, true
	p.signal()
	s.out.Store(c.queue)
	wasClosing := s.state == closing
	if wasClosing {
		s.state = closed
		s.server.sweeper.set(s, 0)
	} else {
		s.plan()
	}
	s.mu.Unlock()

	for _, it := range lost {
		it.Done(s.connID, false)
	}
	if wasClosing {
		s.server.forget(s, false)
		c.finish(websocket.CloseNormalClosure, string(ForcedClose))
	} else if h := s.server.opts.Hooks.Upgrade; h != nil {
		h(s)
	}
	return true
}

// dropProbe gives up a WebSocket that did not become the transport. The session goes on polling.
func (s *Session) dropProbe(c *conn) {
	s.mu.Lock()
	if s.probe == c {
		s.clearProbe()
		s.plan()
	}
	s.mu.Unlock()
	c.finish(websocket.CloseNormalClosure, "")
}

// clearProbe lets the session wait in polls again; mu is held.
func (s *Session) clearProbe() {
	s.probe, s.probeBy = nil, 0
	s.poll.noop = false
}
