package socketio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// conn is the Handler of a session, and holds its sockets. Fields that mu does not guard are used only in calls of the
// Handler's methods and of functions that were given to Session.Do.
//
// mu guards sockets, and the fields of a Socket that say so. No foreign code is called while it is held.
type conn struct {
	server  *Server
	session *engineio.Session
	partial *partial

	mu      sync.Mutex
	sockets []*Socket // one for each namespace; one that the server has disconnected stays until the client connects again
}

// partial is a packet that waits for its attachments.
type partial struct {
	packet
	came [][]byte
	size int // bytes that have come, the packet's included
}

func (s *Server) accept(session *engineio.Session) engineio.Handler {
	session.SetDeadline(time.Now().Add(s.opts.ConnectTimeout))
	return &conn{server: s, session: session}
}

// Message implements engineio.Handler.
func (c *conn) Message(ctx context.Context, data []byte, binary bool) {
	if err := c.read(ctx, data, binary); err != nil {
		c.session.Abort(engineio.ParseError, err)
	}
}

func (c *conn) read(ctx context.Context, data []byte, binary bool) error {
	if binary {
		p := c.partial
		if p == nil {
			return errNoAttachment
		}
		if p.size += len(data); int64(p.size) > c.server.opts.MaxPayload {
			return errTooLong
		}
		p.came = append(p.came, bytes.Clone(data))
		if len(p.came) < p.attachments {
			return nil
		}
		c.partial = nil
		return c.handle(ctx, p.packet, p.came)
	}
	if c.partial != nil {
		return errUnexpected
	}
	p, err := decode(data, c.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	if p.kind == connect {
		c.connect(ctx, p)
		return nil
	}
	p.data = bytes.Clone(p.data)
	if p.attachments > 0 {
		c.partial = &partial{packet: p, size: len(data)}
		return nil
	}
	return c.handle(ctx, p, nil)
}

// handle handles a whole packet that is for a socket.
func (c *conn) handle(ctx context.Context, p packet, attachments [][]byte) error {
	s := c.find(p.namespace)
	if s == nil || p.kind == connectError {
		c.session.Close(ForcedServerClose)
		return nil
	}
	switch p.kind {
	case disconnect:
		c.end(s, ClientDisconnect)
		c.forget(s)
		c.tell(ctx, s)
		return nil
	case ack, binaryAck:
		if w := c.take(s, p.id); w != nil {
			w.finish(Args{split(p.data), attachments}, nil)
		}
		return nil
	}
	values := split(p.data)
	if len(values) == 0 {
		return errPayload
	}
	name, err := eventName(values[0])
	if err != nil {
		return err
	}
	// The client sent it before it heard that the server had disconnected it.
	if !s.Connected() {
		return nil
	}
	h := s.namespace.handlers[name]
	if h == nil {
		h = s.namespace.other
	}
	if h != nil {
		h(ctx, s, &Event{Name: name, Args: Args{values[1:], attachments}, socket: s, id: p.id, wantsAck: p.hasID})
	}
	return nil
}

// connect connects a client to a namespace, or refuses to.
func (c *conn) connect(ctx context.Context, p packet) {
	if s := c.find(p.namespace); s != nil {
		if s.Connected() {
			c.session.Close(ForcedServerClose)
			return
		}
		c.forget(s)
	}
	n := c.server.namespaces[p.namespace]
	if n == nil {
		c.refuse(p.namespace, &Refusal{Message: "Invalid namespace"})
		return
	}
	auth := json.RawMessage(p.data)
	if len(auth) == 0 {
		auth = json.RawMessage("{}")
	}
	s := &Socket{conn: c, namespace: n, id: engineio.NewID()}
	for _, may := range n.use {
		if err := may(ctx, s, auth); err != nil {
			c.refuse(p.namespace, err)
			return
		}
	}
	// The client is told that it is connected before anything else is sent to it.
	frame, err := encodeControl(connect, n.name, struct {
		SID string `json:"sid"`
	}{s.id})
	if err != nil {
		panic(err) // strings can be encoded
	}
	if !c.session.Push(frame) {
		c.session.Abort(engineio.TransportError, ErrFull)
		return
	}
	c.mu.Lock()
	c.sockets = append(c.sockets, s)
	c.mu.Unlock()
	// It is added before anybody can disconnect it, which takes it out.
	n.add(s)
	s.connected.Store(true)
	c.session.SetDeadline(time.Time{})
	if n.connect != nil {
		n.connect(ctx, s)
	}
}

// refuse tells a client that it may not connect, and why.
func (c *conn) refuse(namespace string, why error) {
	var told struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}
	told.Message = why.Error()
	var r *Refusal
	if errors.As(why, &r) {
		told.Message, told.Data = r.Message, r.Data
	}
	frame, err := encodeControl(connectError, namespace, told)
	if err != nil {
		told.Data = nil
		frame, _ = encodeControl(connectError, namespace, told)
	}
	if !c.session.Push(frame) {
		c.session.Abort(engineio.TransportError, ErrFull)
	}
}

// Close implements engineio.Handler.
func (c *conn) Close(ctx context.Context, reason engineio.Reason, _ error) {
	c.partial = nil
	c.mu.Lock()
	sockets := c.sockets
	c.sockets = nil
	c.mu.Unlock()
	for _, s := range sockets {
		c.end(s, reason)
		c.tell(ctx, s)
	}
}

// find returns the socket of a namespace, which the server may have disconnected, or nil.
func (c *conn) find(namespace string) *Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.namespace.name == namespace {
			return s
		}
	}
	return nil
}

func (c *conn) forget(s *Socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sockets = slices.DeleteFunc(c.sockets, func(other *Socket) bool { return other == s })
}

// end makes s disconnected, and reports whether it was connected.
func (c *conn) end(s *Socket, reason Reason) bool {
	c.mu.Lock()
	was := s.connected.Load()
	if was {
		s.connected.Store(false)
		s.reason = reason
	}
	c.mu.Unlock()
	if was {
		s.namespace.remove(s)
	}
	return was
}

// tell calls the function for disconnected sockets, once, and ends the acknowledgements that s waits for.
func (c *conn) tell(ctx context.Context, s *Socket) {
	c.mu.Lock()
	told := s.told
	s.told = true
	reason := s.reason
	waiting := s.waiting
	s.waiting = nil
	c.mu.Unlock()
	for _, w := range waiting {
		w.finish(Args{}, ErrDisconnected)
	}
	if !told && s.namespace.disconnect != nil {
		s.namespace.disconnect(ctx, s, reason)
	}
}
