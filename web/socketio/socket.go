package socketio

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// Errors of sending.
var (
	ErrDisconnected = errors.New("socketio: socket is not connected")
	ErrFull         = errors.New("socketio: too much waits to be sent to this client")
	ErrTooManyAcks  = errors.New("socketio: too many acknowledgements are awaited from this client")
)

// maxWaiting is how many acknowledgements may be awaited from the client of one socket.
const maxWaiting = 1024

// Socket is one client's connection to one namespace. Its methods may be called from any goroutine and do not wait.
type Socket struct {
	// Data is for the owner to use. Set it in Use or OnConnect and do not change it later: there is no lock on it.
	Data any

	conn      *conn
	namespace *Namespace
	id        string
	connected atomic.Bool // once set, changed only while conn.mu is held

	// Guarded by conn.mu.
	reason  Reason
	told    bool // the function for disconnected sockets has been called
	nextAck uint64
	waiting map[uint64]*waiting
}

// waiting is an acknowledgement that is awaited.
type waiting struct {
	done func(Args, error)
	stop func() bool
}

func (w *waiting) finish(args Args, err error) {
	w.stop()
	w.done(args, err)
}

// ID returns the socket's id. It is public: it is not that of the session, and the client knows it.
func (s *Socket) ID() string { return s.id }

// Namespace returns the namespace's name.
func (s *Socket) Namespace() string { return s.namespace.name }

// Session returns the Engine.IO session, which the sockets of one client share.
func (s *Socket) Session() *engineio.Session { return s.conn.session }

// Handshake returns what is kept of the request that opened the session: its headers and query, bounded by
// Options.HandshakeBytes. It must not be changed.
func (s *Socket) Handshake() engineio.Handshake { return s.conn.session.Handshake() }

// Context returns the session's context (see engineio.Opening).
func (s *Socket) Context() context.Context { return s.conn.session.Context() }

// Connected reports whether the socket is connected.
func (s *Socket) Connected() bool { return s.connected.Load() }

// Push queues what Encode, AppendEvent or EndEvent have encoded for this socket's namespace (see engineio.Session.Push). It
// returns false if it does not fit or the socket is not connected.
func (s *Socket) Push(it engineio.Item) bool { return s.connected.Load() && s.conn.session.Push(it) }

// Emit queues an event for the client (see Encode).
func (s *Socket) Emit(name string, args ...any) error {
	frames, err := Encode(s.namespace.name, name, args...)
	if err != nil {
		return err
	}
	return s.send(frames)
}

func (s *Socket) send(frames engineio.Frames) error {
	if s.Push(frames) {
		return nil
	}
	if s.connected.Load() && s.conn.session.Open() {
		return ErrFull
	}
	return ErrDisconnected
}

// EmitWithAck queues an event that the client is to acknowledge. If it returns nil, done is called once: with what the
// client answered, with the error of ctx if that ends before, or with ErrDisconnected. done is called by the goroutine
// that handles the client's events or by one of its own, and must not wait.
func (s *Socket) EmitWithAck(ctx context.Context, done func(Args, error), name string, args ...any) error {
	s.conn.mu.Lock()
	if !s.connected.Load() {
		s.conn.mu.Unlock()
		return ErrDisconnected
	}
	if len(s.waiting) >= maxWaiting {
		s.conn.mu.Unlock()
		return ErrTooManyAcks
	}
	id := s.nextAck
	s.nextAck++
	w := &waiting{done: done}
	if s.waiting == nil {
		s.waiting = make(map[uint64]*waiting)
	}
	s.waiting[id] = w
	w.stop = context.AfterFunc(ctx, func() {
		if s.conn.take(s, id) != nil {
			done(Args{}, ctx.Err())
		}
	})
	s.conn.mu.Unlock()

	frames, err := encodeEvent(s.namespace.name, &id, name, args)
	if err == nil {
		err = s.send(frames)
	}
	// If ctx has ended meanwhile, done has been called.
	if err != nil && s.conn.take(s, id) != nil {
		w.stop()
		return err
	}
	return nil
}

// take returns an acknowledgement that is awaited, and makes it no longer so; nil if it is not.
func (c *conn) take(s *Socket, id uint64) *waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := s.waiting[id]
	delete(s.waiting, id)
	return w
}

// Disconnect disconnects the socket from its namespace. If all is set, it disconnects all of the client's sockets and closes
// the session after what waits has been sent. The function of OnDisconnect is called by another goroutine, soon.
func (s *Socket) Disconnect(all bool) {
	if !all {
		s.leave()
		return
	}
	c := s.conn
	c.mu.Lock()
	sockets := append([]*Socket(nil), c.sockets...)
	c.mu.Unlock()
	for _, other := range sockets {
		other.leave()
	}
	c.session.Close(engineio.ForcedClose)
}

func (s *Socket) leave() {
	if !s.conn.end(s, ServerDisconnect) {
		return
	}
	frame, err := encodeControl(disconnect, s.namespace.name, nil)
	if err != nil {
		panic(err) // there is nothing to encode
	}
	if !s.conn.session.Push(frame) {
		// The client cannot be told, so its connection ends.
		s.conn.session.Abort(engineio.TransportError, ErrFull)
	}
	// If the session has ended, conn.Close calls tell.
	s.conn.session.Do(func() { s.conn.tell(s.Context(), s) })
}

// Event is an event from a client.
type Event struct {
	// Name is the event's name. If the client sent a number, it is that as the client wrote it.
	Name string
	// Args are the arguments.
	Args

	socket   *Socket
	id       uint64
	wantsAck bool
	acked    atomic.Bool
}

// WantsAck reports whether the client asked for an acknowledgement.
func (e *Event) WantsAck() bool { return e.wantsAck }

// Ack acknowledges the event, with arguments as for Encode. Only the first call counts; if the client did not ask for an
// acknowledgement, none does. It may be called after the Handler has returned, and from any goroutine.
func (e *Event) Ack(args ...any) error {
	if !e.wantsAck || e.acked.Swap(true) {
		return nil
	}
	frames, err := encode(ack, e.socket.namespace.name, &e.id, nil, args)
	if err != nil {
		return err
	}
	return e.socket.send(frames)
}
