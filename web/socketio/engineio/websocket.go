package engineio

import (
	"errors"
	"net/http"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/ws"
)

// conn is a WebSocket connection of a session: its transport, or a probe that may become it. It handles what comes on it.
type conn struct {
	*ws.Conn
	session *Session
}

var _ ws.Handler = (*conn)(nil)

// upgrade makes the request a WebSocket connection of session. If c is nil, the request has been refused. status is what it
// was answered with.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, session *Session) (c *conn, status int) {
	opened, err := s.conns.Upgrade(w, r, session.connID)
	var refused *ws.Refused
	switch {
	case err == nil:
		return &conn{opened, session}, http.StatusSwitchingProtocols
	case errors.As(err, &refused):
		f := badRequest
		if refused.Status == http.StatusUpgradeRequired {
			f.status = refused.Status
		}
		refuse(w, f)
		return nil, f.status
	case errors.Is(err, ws.ErrClosed):
		return nil, http.StatusServiceUnavailable // which it was told in a close frame, after 101
	default:
		return nil, http.StatusBadRequest // the connection broke; there is no status for that
	}
}

// Message implements ws.Handler. An error ends the connection; the session has ended, or the probe has been dropped, before.
func (c *conn) Message(op ws.Op, data []byte) error {
	s := c.session
	p, err := DecodePacket(data, op == ws.Binary)
	switch {
	case s.out.Load() != c.Conn:
		s.onProbe(c, p, err)
	case err != nil:
		s.malformed(err)
	default:
		s.receive(p)
	}
	return err
}

// Ended implements ws.Handler.
func (c *conn) Ended(why ws.Status, err error) {
	reason := TransportClose
	var broke ws.ProtocolError
	switch {
	case err == nil:
		err = &websocket.CloseError{Code: why.Code, Text: why.Reason}
	case errors.Is(err, ws.ErrStalled):
		reason = TooSlow
	case errors.Is(err, ws.ErrNotUTF8):
		reason, err = ParseError, ErrNotUTF8
	case errors.As(err, &broke), errors.Is(err, ws.ErrTooLong):
		reason = TransportError
	}
	s := c.session
	if s.out.Load() != c.Conn {
		s.dropProbe(c)
		return
	}
	s.end(ending{reason: reason, err: err, code: websocket.CloseNormalClosure})
}

// offering says that the client is about to be told of a WebSocket that may be offered. Call done when it has been told, or
// will not be.
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

// offer makes c the probe of a polling session. It returns false if the session has ended, has been upgraded, or has another
// probe.
func (s *Session) offer(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed || s.poll == nil || s.probe != nil {
		return false
	}
	s.probe = c
	s.probeBy = s.server.pool.In(s.server.opts.UpgradeTimeout)
	s.plan()
	return true
}

var probeAnswer = ws.AppendFrame(nil, ws.Text, []byte("3probe"))

// onProbe handles a packet from a WebSocket that is not the session's transport. err is that of decoding it.
func (s *Session) onProbe(c *conn, p Packet, err error) {
	if err == nil && p.Type == Ping && string(p.Data) == "probe" {
		s.mu.Lock()
		if s.probe == c {
			c.Reply(probeAnswer)
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

// become makes c the session's transport: what waits is sent there, and a poll that waits is answered with Noop. It returns
// false if c is not the session's probe any more.
func (s *Session) become(c *conn) bool {
	s.mu.Lock()
	if s.probe != c || s.state == closed {
		s.mu.Unlock()
		return false
	}
	p := s.poll
	var lost []Item
	for _, it := range p.rest() {
		// It fits, as nothing that weighs waits there, unless the connection has just broken.
		if !c.Push(it) {
			lost = append(lost, it)
		}
	}
	s.poll, s.probe, s.probeBy = nil, nil, 0
	p.last, p.upgraded = Noop, true
	p.signal()
	s.out.Store(c.Conn)
	wasClosing := s.state == closing
	if wasClosing {
		s.state = closed
		s.ring(0)
	} else {
		s.plan()
	}
	s.mu.Unlock()

	for _, it := range lost {
		it.Done(s.connID, false)
	}
	if wasClosing {
		s.server.forget(s, false)
		c.finish(websocket.CloseNormalClosure, ForcedClose)
	} else if h := s.server.opts.Hooks.Upgrade; h != nil {
		h(s)
	}
	return true
}

// dropProbe closes a WebSocket that did not become the transport. The session goes on polling.
func (s *Session) dropProbe(c *conn) {
	s.mu.Lock()
	if s.probe == c {
		s.clearProbe()
		s.plan()
	}
	s.mu.Unlock()
	c.finish(websocket.CloseNormalClosure, "")
}

// finish ends the connection after what waits.
func (c *conn) finish(code int, reason Reason) {
	c.Finish(ws.Status{Code: code, Reason: string(reason)})
}

// clearProbe makes the session have no probe, so that its polls wait again; mu is held.
func (s *Session) clearProbe() {
	s.probe, s.probeBy = nil, 0
	s.poll.noop = false
}
