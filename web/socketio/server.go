package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// Options are what a Server can be told. The zero value is usable: fields that are zero or, unless they say otherwise, negative
// take their defaults.
type Options struct {
	// Options are those of the Engine.IO server that carries this one. The default of Path is "/socket.io/" here.
	engineio.Options
	// ConnectTimeout is how long a client may take to connect to its first namespace. Default 45 s.
	ConnectTimeout time.Duration
	// MaxAttachments is how many binary attachments a packet from a client may have. Default 10; none if it is negative.
	// A packet and its attachments together have at most MaxPayload bytes.
	MaxAttachments int
}

// Server is an http.Handler that speaks Socket.IO with many clients. Its methods may be called from any goroutine, but Of
// only before it serves.
type Server struct {
	opts       Options
	engine     *engineio.Server
	namespaces map[string]*Namespace
}

// NewServer returns a server without namespaces: clients can connect to those that are then made with Of. Close must be
// called.
func NewServer(opts Options) *Server {
	if opts.Path == "" {
		opts.Path = "/socket.io/"
	}
	if opts.ConnectTimeout <= 0 {
		opts.ConnectTimeout = 45 * time.Second
	}
	if opts.MaxAttachments == 0 {
		opts.MaxAttachments = 10
	}
	if opts.MaxPayload <= 0 {
		opts.MaxPayload = engineio.DefaultMaxPayload
	}
	// TODO(cors): like the Engine.IO server that carries it, this one is for browsers of the same origin only.
	s := &Server{opts: opts, namespaces: make(map[string]*Namespace)}
	s.engine = engineio.NewServer(opts.Options, s.accept)
	return s
}

// ServeHTTP implements http.Handler (see engineio.Server.ServeHTTP).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Close sends all clients away and waits (see engineio.Server.Close).
func (s *Server) Close(ctx context.Context) error { return s.engine.Close(ctx) }

// Engine returns the Engine.IO server that carries this one.
func (s *Server) Engine() *engineio.Server { return s.engine }

// Of returns the namespace of this name, and makes it if there is none. It panics unless the name begins with a slash and has
// no comma.
func (s *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") || strings.Contains(name, ",") {
		panic(fmt.Sprintf("socketio: bad namespace %q", name))
	}
	n := s.namespaces[name]
	if n == nil {
		n = &Namespace{name: name, handlers: make(map[string]Handler), sockets: make(map[*Socket]struct{})}
		s.namespaces[name] = n
	}
	return n
}

// Handler handles an event. ctx is the context of the session. While it runs, nothing else from the same client is handled:
// it must not wait for something that the client has yet to send, such as an acknowledgement.
type Handler func(ctx context.Context, s *Socket, ev *Event)

// Namespace is what clients connect to: its connected sockets, and functions that are called for them. The functions are set
// before the server serves. For one client they are called one at a time, for several clients at once.
//
// mu guards sockets. It is held while sockets are pushed to, so that all get what is broadcast in the same order, and not
// while the owner's functions are called.
type Namespace struct {
	name       string
	use        []func(context.Context, *Socket, json.RawMessage) error
	connect    func(context.Context, *Socket)
	disconnect func(context.Context, *Socket, Reason)
	handlers   map[string]Handler
	other      Handler

	mu      sync.Mutex
	sockets map[*Socket]struct{}
}

func (n *Namespace) add(s *Socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sockets[s] = struct{}{}
}

func (n *Namespace) remove(s *Socket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sockets, s)
}

// Broadcast queues an event, which is encoded once (see Encode), for every socket that is connected to the namespace. All
// sockets get the events of several Broadcasts in the same order. A client that has no room for the event has its session
// ended with engineio.TooSlow: it does not miss an event without knowing. The error is that of Encode. Broadcast may be called
// from any goroutine, handlers included, and does not wait for clients.
func (n *Namespace) Broadcast(name string, args ...any) error {
	frames, err := Encode(n.name, name, args...)
	if err != nil {
		return err
	}
	var full []*Socket
	n.mu.Lock()
	for s := range n.sockets {
		if !s.Push(frames) {
			full = append(full, s)
		}
	}
	n.mu.Unlock()
	for _, s := range full {
		if s.Connected() { // else it disconnects already
			s.Session().Abort(engineio.TooSlow, ErrFull)
		}
	}
	return nil
}

// Name returns the namespace's name.
func (n *Namespace) Name() string { return n.name }

// Use adds a function that says whether a client may connect: an error refuses it. Functions are called in the order in
// which they were added. auth is the object that the client gave for this purpose, {} if it gave none; it is valid until the
// function returns. The client is told the text of the error, and its Data if it is a *Refusal. Nothing can be sent to the
// socket yet.
func (n *Namespace) Use(f func(ctx context.Context, s *Socket, auth json.RawMessage) error) {
	n.use = append(n.use, f)
}

// OnConnect sets the function that is called when a socket has connected, before any of its events.
func (n *Namespace) OnConnect(f func(ctx context.Context, s *Socket)) { n.connect = f }

// OnDisconnect sets the function that is called once for every socket that has been connected, after all of its events.
func (n *Namespace) OnDisconnect(f func(ctx context.Context, s *Socket, reason Reason)) {
	n.disconnect = f
}

// On sets the Handler of the events with this name. It panics if the name is reserved, such as "connect" and "disconnect": see
// OnConnect and OnDisconnect.
func (n *Namespace) On(name string, h Handler) {
	if slices.Contains(reserved, name) {
		panic(fmt.Sprintf("socketio: no event is called %q: the name is reserved", name))
	}
	n.handlers[name] = h
}

// OnOther sets the Handler of the events whose names have no Handler of their own. Without it they are ignored.
func (n *Namespace) OnOther(h Handler) { n.other = h }

// Refusal is an error that tells a client why it may not connect, with data besides the text.
type Refusal struct {
	Message string
	Data    any // sent as JSON
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Reason is why a socket disconnected.
type Reason = engineio.Reason

// Reasons of Socket.IO. Those of Engine.IO come besides.
const (
	ClientDisconnect  Reason = "client namespace disconnect"
	ServerDisconnect  Reason = "server namespace disconnect"
	ForcedServerClose Reason = "forced server close" // the client broke the rules of connecting
)
