package engineio

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// Handler is told what happens to one session. Its methods are called one at a time, in order, by goroutines that read from
// the client: while one of them runs, nothing more is read. They must not wait for something that the same client has yet
// to send.
type Handler interface {
	// Message is called for each message. data is valid only until it returns. ctx is the session's context.
	Message(ctx context.Context, data []byte, binary bool)
	// Close is called once, last. err says more about the reason; it may be nil.
	Close(ctx context.Context, reason Reason, err error)
}

// Reason is why a session ended, in the words of the reference server.
type Reason string

// The reasons a Server gives; Close and Abort may add others.
const (
	TransportClose Reason = "transport close"      // the client closed the connection, or it broke
	TransportError Reason = "transport error"      // the client broke the rules of the transport
	PingTimeout    Reason = "ping timeout"         // no pong came in time
	ParseError     Reason = "parse error"          // the client sent something that is not a packet
	ForcedClose    Reason = "forced close"         // the session's deadline has passed
	Shutdown       Reason = "server shutting down" // Server.Close
	TooSlow        Reason = "too slow"             // the client took nothing for Options.StallTimeout
)

// Errors with which sessions end.
var (
	ErrOverlap   = errors.New("engineio: overlapping requests of one session")
	ErrHeartbeat = errors.New("engineio: client sent a ping")
	ErrAborted   = errors.New("engineio: client gave up a request")
	ErrDeadline  = errors.New("engineio: session's deadline has passed")
)

// state is how far a session has come.
type state uint8

const (
	open    state = iota
	closing       // has ended, but a polling client has yet to fetch what waits for it
	closed
)

// How long is waited after a session's end: on polling for the client to fetch what waits, on WebSocket for it to take what
// waits and to answer the close frame.
const (
	pollGrace  = 30 * time.Second
	closeGrace = 5 * time.Second
)

// Session is one client, over whatever transport. Its methods may be called from any goroutine, a Handler's included, and
// do not wait.
//
// in is held while the Handler is called, and is taken before mu. mu guards the fields below it; while it is held, the
// locks of a ws.Conn, the pool and the server may be taken, and no foreign code is called but the Len of items.
type Session struct {
	server    *Server
	id        string
	connID    string
	handshake *Handshake // nil: nothing is kept
	ctx       context.Context
	value     any
	handler   Handler

	out  atomic.Pointer[ws.Conn] // the transport, once it is WebSocket
	busy atomic.Bool             // the Handler is being called
	in   sync.Mutex

	alarm workers.Alarm // for what is due next

	mu    sync.Mutex
	state state
	poll  *polling // while the transport is polling
	probe *conn    // a WebSocket that may become the transport
	pings struct {
		next workers.Moment // when to send one
		pong workers.Moment // when its pong must have come
	}
	probeBy workers.Moment // when the probe must have become the transport
	endBy   workers.Moment // when the session ends, or, while closing, is forgotten
}

// Handshake is what is kept of the request that opened a session (see Options.HandshakeBytes).
type Handshake struct {
	Header     http.Header
	Query      url.Values
	RemoteAddr string    // as http.Request has it
	Time       time.Time // when the session was opened
}

// ID returns the session's id. It is a secret between client and server: whoever knows it can act as the client.
func (s *Session) ID() string { return s.id }

// ConnID returns the session's public name (see Opening.ConnID).
func (s *Session) ConnID() string { return s.connID }

// Handshake returns what is kept of the request that opened the session. It must not be changed.
func (s *Session) Handshake() Handshake {
	if s.handshake == nil {
		return Handshake{}
	}
	return *s.handshake
}

// Context returns what Opening.Context was when the session was opened. It is never cancelled.
func (s *Session) Context() context.Context { return s.ctx }

// Value returns what Opening.Value was when the session was opened.
func (s *Session) Value() any { return s.value }

// Transport returns Polling or WebSocket.
func (s *Session) Transport() string {
	if s.out.Load() != nil {
		return WebSocket
	}
	return Polling
}

// Open reports whether the session has not ended. If so, a Push that returned false did so for lack of room.
func (s *Session) Open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == open
}

// Push queues it to be sent behind what was pushed before. It returns false if the session has ended or the item does not
// fit (see Options.QueueLimit and QueueBytes); then Done is not called. An item that is heavier than a limit fits when nothing
// waits. A polling client may get the packets of one item in the answers to several polls; Done is called when the last of
// them has been written.
func (s *Session) Push(it Item) bool {
	if out := s.out.Load(); out != nil {
		return out.Push(it)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if out := s.out.Load(); out != nil {
		return out.Push(it)
	}
	return s.state == open && s.poll.push(it, &s.server.limits)
}

// Send queues a message of text (see AppendMessage). It returns false if it does not fit or the session has ended.
func (s *Session) Send(text []byte) bool { return s.Push(Frames(AppendMessage(nil, text))) }

// SendBinary queues a binary message. It returns false if it does not fit or the session has ended.
func (s *Session) SendBinary(data []byte) bool {
	return s.Push(Frames(AppendBinaryMessage(nil, data)))
}

// Close ends the session after what waits has been sent. The Handler's Close is called with the reason, by another goroutine.
func (s *Session) Close(reason Reason) { s.shut(reason, websocket.CloseNormalClosure) }

// Abort ends the session and drops what waits. The Handler's Close is called with the reason and err, by another goroutine.
func (s *Session) Abort(reason Reason, err error) {
	code := websocket.ClosePolicyViolation
	if reason == ParseError {
		code = websocket.CloseProtocolError
	}
	s.end(ending{reason: reason, err: err, code: code})
}

// SetDeadline makes the session end at t, with ForcedClose. A later call replaces the deadline; the zero time removes it.
func (s *Session) SetDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open {
		return
	}
	s.endBy = 0
	if !t.IsZero() {
		s.endBy = s.server.pool.At(t)
	}
	s.plan()
}

// Do calls f in a goroutine of its own, and not at the same time as a method of the Handler. It returns false, and f is not
// called, if the session has ended.
func (s *Session) Do(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open {
		return false
	}
	s.server.work.Go(func() {
		s.in.Lock()
		defer s.in.Unlock()
		f()
	})
	return true
}

// openPacket returns the first packet of a session, with the transports that the client may upgrade to.
func (s *Session) openPacket(upgrades ...string) []byte {
	o := &s.server.opts
	if upgrades == nil {
		upgrades = []string{}
	}
	b, err := json.Marshal(struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int64    `json:"maxPayload"`
	}{s.id, upgrades, o.PingInterval.Milliseconds(), o.PingTimeout.Milliseconds(), o.MaxPayload})
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return AppendPacket(nil, Packet{Type: Open, Data: b})
}

// receive handles a packet from the client. The next one may be read when it returns.
func (s *Session) receive(p Packet) {
	switch p.Type {
	case Message:
		s.deliver(p)
	case Pong:
		s.mu.Lock()
		if s.state == open {
			s.pings.pong = 0
			s.planPing()
			s.plan()
		}
		s.mu.Unlock()
	case Ping:
		s.end(ending{reason: TransportError, err: ErrHeartbeat, code: websocket.CloseProtocolError})
	case Close:
		s.end(ending{reason: TransportClose, code: websocket.CloseNormalClosure, last: Noop})
	}
}

func (s *Session) deliver(p Packet) {
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	ok := s.state == open
	s.mu.Unlock()
	if !ok {
		return
	}
	s.busy.Store(true)
	defer s.busy.Store(false)
	began := s.server.pool.In(0)
	s.handler.Message(s.ctx, p.Data, p.Binary)
	if now := s.server.pool.In(0); now-began >= workers.Moment(s.server.pool.Grain()) {
		s.unread(now)
	}
}

// unread gives the client time for its pong anew, after the Handler took so long that the pong may have come and not have been read.
func (s *Session) unread(now workers.Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == open && s.pings.pong != 0 {
		s.pings.pong = max(s.pings.pong, now+workers.Moment(s.server.opts.PingTimeout))
		s.plan()
	}
}

// malformed ends a session whose client sent something that is not a packet.
func (s *Session) malformed(err error) {
	code := websocket.CloseProtocolError
	if errors.Is(err, ErrNotUTF8) {
		code = websocket.CloseInvalidFramePayloadData
	}
	s.end(ending{reason: ParseError, err: err, code: code})
}

// planPing sets the time of the next ping; mu is held. Pings are sent up to a quarter of the interval early, at random, so that
// those of clients that connected together are spread.
func (s *Session) planPing() {
	interval := s.server.opts.PingInterval - s.server.pool.Grain()
	s.pings.next = s.server.pool.In(interval - rand.N(interval/4+1))
}

// ring sets the session's alarm; 0 takes it back. mu may be held.
func (s *Session) ring(at workers.Moment) { s.server.pool.Set(&s.alarm, at) }

// plan sets the alarm to the time of what is due next; mu is held.
func (s *Session) plan() {
	heartbeat := s.pings.pong
	if heartbeat == 0 {
		heartbeat = s.pings.next
	}
	s.ring(workers.Earliest(heartbeat, s.probeBy, s.endBy))
}

// ringing is a Session as the owner of its alarm: Ring is nothing for those who hold a Session.
type ringing Session

// Ring does what is due at t.
func (r *ringing) Ring(t workers.Moment) {
	s := (*Session)(r)
	due := func(m workers.Moment) bool { return m != 0 && m <= t }
	s.mu.Lock()
	var drop *conn
	var end *ending
	late := false
	switch {
	case s.state == closed:
		if late = s.poll != nil && s.poll.late; late {
			s.poll.late = false
		}
	case due(s.endBy):
		end = &ending{reason: ForcedClose, err: ErrDeadline, code: websocket.ClosePolicyViolation}
	case due(s.pings.pong) && s.busy.Load():
		// The pong may not have been read yet, as the Handler is still busy with a message before it.
		s.pings.pong = t + workers.Moment(s.server.opts.PingTimeout)
	case due(s.pings.pong):
		end = &ending{reason: PingTimeout, code: websocket.CloseNormalClosure}
	case s.pings.pong == 0 && due(s.pings.next):
		s.ping()
		s.pings.pong = t + workers.Moment(s.server.opts.PingTimeout)
	}
	if end == nil && due(s.probeBy) {
		drop = s.probe
		s.clearProbe()
	}
	if end == nil && s.state != closed {
		s.plan()
	}
	s.mu.Unlock()
	if late {
		s.server.forgetLate(s)
	}
	if drop != nil {
		drop.finish(websocket.CloseNormalClosure, "upgrade timeout")
	}
	if end != nil {
		s.end(*end)
	}
}

var pingFrame = ws.AppendFrame(nil, ws.Text, []byte{byte(Ping)})

// ping queues a ping; mu is held. Never does more than one wait, as the next is sent after the pong.
func (s *Session) ping() {
	it := weightless(pingFrame)
	if out := s.out.Load(); out != nil {
		out.Push(it)
		return
	}
	s.poll.push(it, &s.server.limits)
}

// ending is how a session is to end.
type ending struct {
	reason Reason
	err    error
	code   int      // of the WebSocket close frame
	last   Type     // what the poll is answered with that waits or, if none does, comes soon; 0: Close, and only one that waits
	only   *polling // not nil: end the session only if this is still its transport
}

// end ends the session and drops what waits. Only the first end or shut counts, but end also forgets a session that, after
// shut, still waits for its client to fetch something.
func (s *Session) end(e ending) {
	s.mu.Lock()
	if s.state == closed || e.only != nil && e.only != s.poll {
		s.mu.Unlock()
		return
	}
	told := s.state == closing
	s.state = closed
	var dropped []Item
	late := false
	if p := s.poll; p != nil {
		p.last = Close
		if e.last != 0 {
			p.last = e.last
			late = p.wake == nil
			p.late = late
		}
		p.signal()
		dropped = p.drop()
	}
	probe := s.probe
	s.probe = nil
	s.ring(0)
	out := s.out.Load()
	s.mu.Unlock()

	s.server.forget(s, late)
	if out != nil {
		out.Abort(ws.Status{Code: e.code, Reason: string(e.reason)})
	}
	if probe != nil {
		probe.finish(e.code, e.reason)
	}
	for _, it := range dropped {
		it.Done(s.connID, false)
	}
	if !told {
		s.tell(e.reason, e.err)
	}
}

// shut ends the session after what waits.
func (s *Session) shut(reason Reason, code int) {
	s.mu.Lock()
	if s.state != open {
		s.mu.Unlock()
		return
	}
	if p := s.poll; p != nil {
		s.state = closing
		s.pings.next, s.pings.pong = 0, 0
		s.endBy = s.server.pool.In(pollGrace)
		s.plan()
		p.bye = true
		p.signal()
		s.mu.Unlock()
		s.tell(reason, nil)
		return
	}
	s.state = closed
	s.ring(0)
	out := s.out.Load()
	s.mu.Unlock()
	s.server.forget(s, false)
	out.Finish(ws.Status{Code: code, Reason: string(reason)})
	s.tell(reason, nil)
}

// gone forgets a session whose client has fetched all that waited when it was shut.
func (s *Session) gone() {
	s.mu.Lock()
	ok := s.state == closing && s.poll != nil
	if ok {
		s.state = closed
		s.ring(0)
	}
	s.mu.Unlock()
	if ok {
		s.server.forget(s, false)
	}
}

// tell tells the owner that the session has ended. It does so in a goroutine of its own: whoever ended the session may hold
// locks that the owner needs, or be the Handler itself.
func (s *Session) tell(reason Reason, err error) {
	go func() {
		defer s.server.work.Done() // which counts the session since admit
		s.in.Lock()
		defer s.in.Unlock()
		if h := s.server.opts.Hooks.Close; h != nil {
			h(s, reason, err)
		}
		s.handler.Close(s.ctx, reason, err)
	}()
}
