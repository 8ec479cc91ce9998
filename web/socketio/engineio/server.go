package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// ErrClosed is the error of a second Close.
var ErrClosed = errors.New("engineio: server is closed")

// writers is how many goroutines write for a server that is given no Pool.
const writers = 2

// lingering is how long Close waits for polling clients to poll and be told.
const lingering = time.Second

// Server is an http.Handler that speaks Engine.IO with many clients. Its methods may be called from any goroutine.
//
// work counts the requests being served, the sessions whose Handler has not been told of their end, and the calls of
// Session.Do. mu guards the fields below it; a session's in may be held when it is taken, its mu not.
type Server struct {
	opts   Options
	limits ws.Limits // of what waits for each session
	accept func(*Session) Handler
	pool   *workers.Pool
	conns  *ws.Group // the WebSocket connections
	work   sync.WaitGroup

	mu       sync.Mutex
	state    state // closing: takes no new sessions
	sessions map[string]*Session
	late     map[string]*Session // have ended and take no places; one more poll of each is answered
	places   int                 // that sessions have taken, those that are being opened included
	empty    chan struct{}       // closed when the server is closing and the last session is gone
}

// NewServer returns a server that is ready to serve. accept is called for each new session, by the goroutine that serves its
// request and before any of its messages are handled, and returns its Handler; it may send to the session. Close must be
// called.
func NewServer(opts Options, accept func(*Session) Handler) *Server {
	opts = opts.withDefaults()
	// TODO(cors): browsers of other origins are refused by CheckOrigin. To let them in, answer their preflight (OPTIONS)
	// requests and send the Access-Control headers with every answer.
	shortest := min(opts.PingInterval, opts.PingTimeout, opts.UpgradeTimeout)
	s := &Server{
		opts:     opts,
		limits:   ws.Limits{Items: opts.QueueLimit, Bytes: opts.QueueBytes, Stall: opts.StallTimeout},
		accept:   accept,
		pool:     opts.Pool,
		sessions: make(map[string]*Session),
		late:     make(map[string]*Session),
		empty:    make(chan struct{}),
	}
	if s.pool == nil {
		s.pool = workers.NewPool(writers, min(max(shortest/64, time.Millisecond), 250*time.Millisecond))
	}
	s.conns = ws.NewGroup(s.pool, ws.Options{
		Limits: s.limits, MaxMessage: opts.MaxPayload, Linger: closeGrace,
		CheckOrigin: func(*http.Request) bool { return true }, // ServeHTTP has checked it for all transports
	})
	return s
}

// Path returns the path that the server answers at, without the last slash.
func (s *Server) Path() string { return s.opts.Path }

// Len returns the number of sessions.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// refusal is an error of the protocol, with the number and the text that the reference server has.
type refusal struct {
	status  int
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	unknownTransport   = refusal{http.StatusBadRequest, 0, "Transport unknown"}
	unknownSession     = refusal{http.StatusBadRequest, 1, "Session ID unknown"}
	badHandshakeMethod = refusal{http.StatusBadRequest, 2, "Bad handshake method"}
	badRequest         = refusal{http.StatusBadRequest, 3, "Bad request"}
	forbidden          = refusal{http.StatusForbidden, 4, "Forbidden"}
	unsupportedVersion = refusal{http.StatusBadRequest, 5, "Unsupported protocol version"}
	// The reference server has no such limits; the codes are those for a request that it refuses.
	unavailable = refusal{http.StatusServiceUnavailable, 4, "Service unavailable"}
	tooLarge    = refusal{http.StatusRequestHeaderFieldsTooLarge, 3, "Bad request"}
)

func refuse(w http.ResponseWriter, f refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	// A client that does not take the answer goes without it.
	_ = json.NewEncoder(w).Encode(f)
}

// ServeHTTP implements http.Handler. For a poll it returns when the poll is answered, for a WebSocket at once.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if "/"+strings.Trim(r.URL.Path, "/") != s.opts.Path {
		http.NotFound(w, r)
		return
	}
	if !s.enter() {
		refuse(w, unavailable)
		return
	}
	defer s.work.Done()

	query := r.URL.Query()
	transport := query.Get("transport")
	upgrade := websocket.IsWebSocketUpgrade(r)
	if transport != Polling && transport != WebSocket {
		refuse(w, unknownTransport)
		return
	}
	if !s.opts.CheckOrigin(r) {
		refuse(w, forbidden)
		return
	}
	if id := query.Get("sid"); id != "" {
		s.mu.Lock()
		session := s.sessions[id]
		if session == nil && r.Method == http.MethodGet && !upgrade {
			session = s.late[id]
		}
		s.mu.Unlock()
		if session == nil {
			refuse(w, unknownSession)
			return
		}
		s.serveSession(w, r, session, transport, upgrade)
		return
	}
	switch {
	case r.Method != http.MethodGet:
		refuse(w, badHandshakeMethod)
	case upgrade != (transport == WebSocket):
		refuse(w, badRequest)
	case query.Get("EIO") != "4":
		refuse(w, unsupportedVersion)
	default:
		s.open(w, r, upgrade)
	}
}

// enter counts a request, and returns false if the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed {
		return false
	}
	s.work.Add(1)
	return true
}

// serveSession serves a request that belongs to a session.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, session *Session, transport string, upgrade bool) {
	switch {
	case upgrade && transport == WebSocket:
		// The client may hear of its WebSocket, and poll, before offer is called.
		offered := session.offering()
		c, _ := s.upgrade(w, r, session)
		defer offered()
		if c == nil {
			return
		}
		if !session.offer(c) {
			c.finish(websocket.CloseNormalClosure, "")
		}
		c.Start(c)
	case upgrade, transport != session.Transport():
		refuse(w, badRequest)
	case r.Method == http.MethodGet:
		session.servePoll(w, r)
	case r.Method == http.MethodPost:
		session.servePost(w, r)
	default:
		refuse(w, badRequest)
	}
}

// open opens a session for a handshake.
func (s *Server) open(w http.ResponseWriter, r *http.Request, upgrade bool) {
	handshake, ok := keep(r, s.opts.HandshakeBytes)
	if !ok {
		refuse(w, tooLarge)
		return
	}
	if !s.admit() {
		refuse(w, unavailable)
		return
	}
	session := &Session{server: s, id: NewID(), handshake: handshake}
	session.alarm.Owner = (*ringing)(session)
	opening := s.opts.opening(r)
	session.ctx, session.connID, session.value = opening.Context, opening.ConnID, opening.Value
	if !upgrade {
		session.poll = &polling{}
		opening.Answered(http.StatusOK)
		s.begin(session, nil)
		// If the client does not get this, it does not know the session, which ends as no pong comes.
		_ = answer(w, plainText, session.openPacket(WebSocket))
		return
	}
	c, status := s.upgrade(w, r, session)
	opening.Answered(status)
	if c == nil {
		s.mu.Lock()
		s.leave()
		s.mu.Unlock()
		s.work.Done()
		return
	}
	session.out.Store(c.Conn)
	s.begin(session, weightless(ws.AppendFrame(nil, ws.Text, session.openPacket())))
	c.Start(c)
}

// keep returns what is kept of a request that opens a session: nil if most is negative. ok is false if it would be more than
// most bytes.
func keep(r *http.Request, most int) (h *Handshake, ok bool) {
	if most < 0 {
		return nil, true
	}
	size := len(r.URL.RawQuery)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v)
		}
	}
	if size > most {
		return nil, false
	}
	return &Handshake{Header: r.Header.Clone(), Query: r.URL.Query(), RemoteAddr: strings.Clone(r.RemoteAddr), Time: time.Now()}, true
}

// admit takes a place for a session, and returns false if there is none.
func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != open || s.opts.Places != nil && !s.opts.Places.Take() {
		return false
	}
	s.places++
	s.work.Add(1)
	return true
}

// begin makes a session known, sends it the handshake, which is nil for a polling session, asks for its Handler and starts its
// heartbeat.
func (s *Server) begin(session *Session, handshake Item) {
	session.in.Lock()
	defer session.in.Unlock()
	s.mu.Lock()
	s.sessions[session.id] = session
	late := s.state != open
	s.mu.Unlock()
	if handshake != nil {
		session.out.Load().Push(handshake)
	}
	if h := s.opts.Hooks.Open; h != nil {
		h(session)
	}
	session.handler = s.accept(session)
	if late {
		session.end(ending{reason: Shutdown, code: websocket.CloseGoingAway})
		return
	}
	session.mu.Lock()
	defer session.mu.Unlock()
	if session.state == open {
		session.planPing()
		session.plan()
	}
}

// forget takes a session out and frees its place. With late, one more poll is answered if it comes soon.
func (s *Server) forget(session *Session, late bool) {
	s.mu.Lock()
	found := s.sessions[session.id] == session
	late = late && found && len(s.late) < maxLate
	if found {
		delete(s.sessions, session.id)
		s.leave()
	}
	if late {
		s.late[session.id] = session
	}
	s.mu.Unlock()
	if late {
		session.ring(s.pool.In(lateGrace))
	}
}

func (s *Server) forgetLate(session *Session) {
	session.ring(0)
	s.mu.Lock()
	delete(s.late, session.id)
	s.mu.Unlock()
}

// leave gives a place back; mu is held.
func (s *Server) leave() {
	s.places--
	if s.opts.Places != nil {
		s.opts.Places.Leave()
	}
	s.checkEmpty()
}

// checkEmpty completes the closing of a server that has no sessions left; mu is held.
func (s *Server) checkEmpty() {
	if s.state == closing && s.places == 0 {
		s.state = closed
		close(s.empty)
	}
}

// Close ends all sessions, refuses new ones, and waits until all goroutines have ended and all Handlers have been told. Polling
// clients have a second to poll and be told. When ctx ends, connections are closed as they are, and its error is returned if
// Handlers or requests are still running a second later. Call it before the http.Server is shut down, which would not let
// clients be told.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.state != open {
		s.mu.Unlock()
		return ErrClosed
	}
	s.state = closing
	s.checkEmpty()
	all := s.snapshot()
	s.mu.Unlock()
	for _, session := range all {
		session.shut(Shutdown, websocket.CloseGoingAway)
	}
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-s.empty:
	case <-timer.C:
	case <-ctx.Done():
	}

	s.mu.Lock()
	s.state = closed
	all = s.snapshot()
	s.mu.Unlock()
	for _, session := range all {
		session.end(ending{reason: Shutdown, code: websocket.CloseGoingAway})
	}
	s.conns.Close(ws.Status{Code: websocket.CloseGoingAway, Reason: string(Shutdown)})
	ended := make(chan struct{})
	go func() {
		s.work.Wait()
		_ = s.conns.Wait(context.Background()) // which does not end
		close(ended)
	}()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		s.conns.HangUp()
		select {
		case <-ended:
		case <-time.After(lingering):
			err = ctx.Err()
		}
	}
	if s.opts.Pool == nil {
		s.pool.Close()
	}
	return err
}

func (s *Server) snapshot() []*Session {
	all := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		all = append(all, session)
	}
	return all
}

// NewID returns an id that cannot be guessed: 120 random bits in 20 characters that need no escaping in a URL.
func NewID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
