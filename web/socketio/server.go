package socketio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// Options are what a Server can be told. The zero value is usable: fields that are zero or, unless they say otherwise, negative
// take their defaults.
type Options struct {
	// Options are those of the Engine.IO server below. The default of Path is "/socket.io/" here.
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

// NewServer returns a server with no namespaces: clients can connect to those that are then made with Of. Close must be
// called in the end.
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
	// TODO(cors): like the Engine.IO server below, this one is for browsers of the same origin only.
	s := &Server{opts: opts, namespaces: make(map[string]*Namespace)}
	s.engine = engineio.NewServer(opts.Options, s.accept)
	return s
}

// ServeHTTP implements http.Handler (see engineio.Server.ServeHTTP).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Close sends all clients away and waits (see engineio.Server.Close).
func (s *Server) Close(ctx context.Context) error { return s.engine.Close(ctx) }

// Engine is the Engine.IO server below.
func (s *Server) Engine() *engineio.Server { return s.engine }

// Of returns the namespace of this name, which begins with a slash and has no comma, and makes it if need be.
func (s *Server) Of(name string) *Namespace {
	if !strings.HasPrefix(name, "/") || strings.Contains(name, ",") {
		panic(fmt.Sprintf("socketio: bad namespace %q", name))
	}
	n := s.namespaces[name]
	if n == nil {
		n = &Namespace{name: name, handlers: make(map[string]Handler)}
		s.namespaces[name] = n
	}
	return n
}

// Handler handles an event. ctx is the context of the session. While it runs, nothing more of the same client is handled:
// it must not wait for something that the client has yet to send, such as an acknowledgement.
type Handler func(ctx context.Context, s *Socket, ev *Event)

// Namespace is what clients connect to: a set of functions for its sockets. They are set before the server serves, and
// called for one client at a time each, for many clients at once.
type Namespace struct {
	name       string
	use        []func(context.Context, *Socket, json.RawMessage) error
	connect    func(context.Context, *Socket)
	disconnect func(context.Context, *Socket, Reason)
	handlers   map[string]Handler
	other      Handler
}

// Name is the namespace's name.
func (n *Namespace) Name() string { return n.name }

// Use adds a function that is asked whether a client may connect, in the order in which they were added. auth is the
// object that the client gave for the purpose, {} if it gave none; it is valid until the function returns. The client is
// told the text of the error, and its Data if it is a *Refusal. The socket cannot be sent to yet.
func (n *Namespace) Use(f func(ctx context.Context, s *Socket, auth json.RawMessage) error) {
	n.use = append(n.use, f)
}

// OnConnect sets the function that is called when a socket has connected, before any of its events.
func (n *Namespace) OnConnect(f func(ctx context.Context, s *Socket)) { n.connect = f }

// OnDisconnect sets the function that is called once for every socket that had connected, after all of its events.
func (n *Namespace) OnDisconnect(f func(ctx context.Context, s *Socket, reason Reason)) {
	n.disconnect = f
}

// On sets what handles the events of this name. It panics if the name is reserved, as no event has it: see OnConnect and
// OnDisconnect.
func (n *Namespace) On(name string, h Handler) {
	if slices.Contains(reserved, name) {
		panic(fmt.Sprintf("socketio: no event is called %q: the name is reserved", name))
	}
	n.handlers[name] = h
}

// OnOther sets what handles the events of all names that On was not called for. Without it they are ignored.
func (n *Namespace) OnOther(h Handler) { n.other = h }

// Refusal is an error that tells a client more than a text about why it may not connect.
type Refusal struct {
	Message string
	Data    any // sent as JSON
}

// Error implements error.
func (r *Refusal) Error() string { return r.Message }

// Reason is why a socket disconnected.
type Reason = engineio.Reason

// Reasons that are of Socket.IO, besides those of Engine.IO.
const (
	ClientDisconnect  Reason = "client namespace disconnect"
	ServerDisconnect  Reason = "server namespace disconnect"
	ForcedServerClose Reason = "forced server close" // the client broke the rules of connecting
)
