package engineio

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/outbox"
)

// maxControls is how many control frames and answers to probes may wait in a connection's queue, which they take up
// nothing of. More than that are dropped: the client does not read the ones it has got.
const maxControls = 8

// conn is a WebSocket connection. gorilla reads from it; whatever is written, by gorilla too, goes through the queue. It
// is the net.Conn that gorilla is given.
type conn struct {
	net.Conn
	session  *Session
	queue    *outbox.Queue // nil until the handshake has been answered
	ws       *websocket.Conn
	controls atomic.Int32 // how many wait
}

// Write writes the answer to the handshake, and then queues the control frames that gorilla writes.
func (c *conn) Write(p []byte) (int, error) {
	if c.queue == nil {
		return c.Conn.Write(p)
	}
	b := append([]byte(nil), p...)
	if b[0] == finalBit|opClose {
		// The client has closed or has to be sent away: it takes nothing more.
		c.queue.Abort(b, closeGrace)
	} else {
		c.control(b)
	}
	return len(p), nil
}

// control queues bytes that answer the client, unless too many wait.
func (c *conn) control(p []byte) {
	if c.controls.Add(1) > maxControls || !c.queue.Push(&control{conn: c, bytes: p}) {
		c.controls.Add(-1)
	}
}

// SetWriteDeadline does nothing: writing is the queue's.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// Close closes the connection at once.
func (c *conn) Close() error {
	if c.queue == nil {
		return c.Conn.Close()
	}
	c.queue.Close()
	return nil
}

// finish lets what waits be written, then a close frame.
func (c *conn) finish(code int, reason string) {
	c.queue.Finish(closeFrame(code, reason), closeGrace)
}

// control is what such bytes are in a queue.
type control struct {
	conn  *conn
	bytes []byte
}

func (c *control) Bytes() []byte     { return c.bytes }
func (c *control) Len() int          { return 0 }
func (c *control) Done(string, bool) { c.conn.controls.Add(-1) }
func (c *control) Late(string)       {}

func closeFrame(code int, reason string) []byte {
	return appendFrame(nil, opClose, "", websocket.FormatCloseMessage(code, reason))
}

// hijacker gives gorilla a conn in place of the connection that it hijacks.
type hijacker struct {
	http.ResponseWriter
	conn *conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn.Conn = nc
	return h.conn, rw, nil
}

var upgrader = websocket.Upgrader{
	ReadBufferSize: 1024,
	// Only gorilla's data frames would use it, and there are none.
	WriteBufferPool: &sync.Pool{},
	// The server has checked it for all transports.
	CheckOrigin: func(*http.Request) bool { return true },
	Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) {
		refuse(w, badRequest)
	},
}

// upgrade makes the request a WebSocket of s. If it returns nil, the request has been answered.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, session *Session) *conn {
	c := &conn{session: session}
	ws, err := upgrader.Upgrade(&hijacker{w, c}, r, nil)
	if err != nil {
		return nil
	}
	c.queue = outbox.New(s.pool, session.connID, c.Conn, &s.limits)
	ws.SetReadLimit(s.opts.MaxPayload)
	c.ws = ws
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
	s := c.session
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.ended(err)
			break
		}
		buf := buffers.get()
		if err := buf.readAll(r); err != nil {
			c.ended(err)
			break
		}
		c.message(buf.b, kind == websocket.BinaryMessage)
		buffers.put(buf)
	}
	c.queue.ReadDone()
	s.server.mu.Lock()
	delete(s.server.conns, c)
	s.server.mu.Unlock()
}

func (c *conn) message(data []byte, binary bool) {
	s := c.session
	p, err := DecodePacket(data, binary)
	if err == nil && !binary && !utf8.Valid(data) {
		err = ErrNotUTF8
	}
	if s.out.Load() != c.queue {
		s.onProbe(c, p, err)
		return
	}
	if err != nil {
		s.malformed(err)
		return
	}
	s.receive(p)
}

// ended says that nothing more can be read.
func (c *conn) ended(err error) {
	s := c.session
	if s.out.Load() != c.queue {
		s.dropProbe(c)
		return
	}
	reason := TransportError
	var closed *websocket.CloseError
	var broken net.Error
	if errors.As(err, &closed) || errors.As(err, &broken) {
		reason = TransportClose
	}
	if c.queue.Stalled() {
		reason = TooSlow
	}
	s.end(ending{reason: reason, err: err, code: websocket.CloseNormalClosure})
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
			c.control(probeAnswer)
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
	p.last = Noop
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
		s.server.forget(s)
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
	s.poll.noop, s.poll.noops = false, 0
}
