package tracing

import (
	"context"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// tracedService is a Service of which every call is a span.
type tracedService struct {
	next rooms.Service
	t    *Telemetry
}

var _ rooms.Service = (*tracedService)(nil)

// Service wraps next.
func (t *Telemetry) Service(next rooms.Service) rooms.Service { return &tracedService{next, t} }

func (s *tracedService) CreateRoom(ctx context.Context, id, name string) (room rooms.Room, created bool, err error) {
	var attrs []attr
	if id != "" {
		attrs = []attr{keyRoom.text(id)}
	}
	ctx, span := s.t.tracer.start(ctx, &opCreateRoom, attrs...)
	defer func() {
		if err == nil {
			span.set(keyRoom.text(room.ID))
		}
		s.end(span, err)
	}()
	return s.next.CreateRoom(ctx, id, name)
}

func (s *tracedService) Room(ctx context.Context, id string) (room rooms.Room, err error) {
	ctx, span := s.t.tracer.start(ctx, &opGetRoom, keyRoom.text(id))
	defer func() { s.end(span, err) }()
	return s.next.Room(ctx, id)
}

func (s *tracedService) Rooms(ctx context.Context) (list []rooms.Room, err error) {
	ctx, span := s.t.tracer.start(ctx, &opListRooms)
	defer func() { span.set(keyCount.int(len(list))); s.end(span, err) }()
	return s.next.Rooms(ctx)
}

func (s *tracedService) DeleteRoom(ctx context.Context, id string) (err error) {
	ctx, span := s.t.tracer.start(ctx, &opDeleteRoom, keyRoom.text(id))
	defer func() { s.end(span, err) }()
	return s.next.DeleteRoom(ctx, id)
}

func (s *tracedService) Messages(ctx context.Context, roomID string, q rooms.Query) (page rooms.Page, err error) {
	ctx, span := s.t.tracer.start(ctx, &opMessages, sinceAttrs(roomID, q.Since)...)
	defer func() { span.set(keyCount.int(len(page.Messages))); s.end(span, err) }()
	return s.next.Messages(ctx, roomID, q)
}

func (s *tracedService) Message(ctx context.Context, id string) (m *rooms.Message, err error) {
	ctx, span := s.t.tracer.start(ctx, &opGetMessage, keyMessage.text(id))
	defer func() { s.end(span, err) }()
	return s.next.Message(ctx, id)
}

func (s *tracedService) DeleteMessage(ctx context.Context, id string) (err error) {
	ctx, span := s.t.tracer.start(ctx, &opDeleteMessage, keyMessage.text(id))
	defer func() { s.end(span, err) }()
	return s.next.DeleteMessage(ctx, id)
}

func (s *tracedService) CreateUser(ctx context.Context, name, handle string) (u rooms.User, err error) {
	ctx, span := s.t.tracer.start(ctx, &opCreateUser, keyHandle.text(handle))
	defer func() { s.end(span, err) }()
	return s.next.CreateUser(ctx, name, handle)
}

func (s *tracedService) User(ctx context.Context, id string) (u rooms.User, err error) {
	ctx, span := s.t.tracer.start(ctx, &opGetUser, keyUser.text(id))
	defer func() { s.end(span, err) }()
	return s.next.User(ctx, id)
}

func (s *tracedService) Users(ctx context.Context) (list []rooms.User, err error) {
	ctx, span := s.t.tracer.start(ctx, &opListUsers)
	defer func() { span.set(keyCount.int(len(list))); s.end(span, err) }()
	return s.next.Users(ctx)
}

func (s *tracedService) DeleteUser(ctx context.Context, id string) (err error) {
	ctx, span := s.t.tracer.start(ctx, &opDeleteUser, keyUser.text(id))
	defer func() { s.end(span, err) }()
	return s.next.DeleteUser(ctx, id)
}

func (s *tracedService) PostMessage(ctx context.Context, p rooms.Post) (m *rooms.Message, repeated bool, err error) {
	ctx, span := s.receive(ctx, &p)
	defer func() { s.received(span, p.Transport, m, repeated, err) }()
	return s.next.PostMessage(ctx, p)
}

func (s *tracedService) Send(ctx context.Context, p rooms.Post, done func(*rooms.Message, bool, error)) error {
	ctx, span := s.receive(ctx, &p)
	err := s.next.Send(ctx, p, func(m *rooms.Message, repeated bool, err error) {
		s.received(span, p.Transport, m, repeated, err)
		done(m, repeated, err)
	})
	if err != nil {
		s.end(span, err)
	}
	return err
}

// receive starts the span of a message that came in, and gives the message that span's context to be stored with.
func (s *tracedService) receive(ctx context.Context, p *rooms.Post) (context.Context, *span) {
	if s.t.withText {
		ctx = withText(ctx, p.Text)
	}
	if p.Received.IsZero() {
		p.Received = time.Now()
	}
	var room [5]attr
	attrs := append(room[:0], keyRoom.text(p.RoomID), keyClient.text(p.ClientID),
		keyEvent.text(rooms.EventMessage.String()), keySize.int(len(p.Text)))
	ctx, span := s.t.tracer.startFrom(ctx, p.Received, &opReceive, appendSystem(ctx, attrs, p.Transport)...)
	p.Trace = span.traceContext(ctx)
	return ctx, span
}

func (s *tracedService) received(span *span, transport string, m *rooms.Message, repeated bool, err error) {
	switch {
	case err != nil:
		s.end(span, err)
	case repeated:
		span.endAt(time.Now(), nil, keyMessage.text(m.ID), keySeq.int64(m.Seq), keyRepeated.text("true"))
	default:
		s.t.metrics.stored(transport)
		span.endAt(time.Now(), nil, keyMessage.text(m.ID), keySeq.int64(m.Seq))
	}
}

func (s *tracedService) Join(ctx context.Context, conn *rooms.Conn, req rooms.Join) (m *rooms.Member, err error) {
	ctx, span := s.t.tracer.start(ctx, &opJoin, append(sinceAttrs(req.RoomID, req.Since), keyClient.text(req.ClientID))...)
	defer func() { s.end(span, err) }()
	return s.next.Join(ctx, conn, req)
}

func (s *tracedService) Leave(ctx context.Context, m *rooms.Member) (err error) {
	ctx, span := s.t.tracer.start(ctx, &opLeave, keyRoom.text(m.RoomID), keyClient.text(m.ClientID))
	defer func() { s.end(span, err) }()
	return s.next.Leave(ctx, m)
}

func (s *tracedService) Typing(ctx context.Context, m *rooms.Member) (err error) {
	ctx, span := s.t.tracer.start(ctx, &opReceive, keyRoom.text(m.RoomID), keyClient.text(m.ClientID),
		keyEvent.text(rooms.EventTyping.String()))
	defer func() { s.end(span, err) }()
	return s.next.Typing(ctx, m)
}

// end ends the span of a service call, the outermost of what was asked: here faults of the server's own are logged.
func (s *tracedService) end(span *span, err error) {
	s.t.fault(span, err)
	span.end(err)
}

// Ping is not traced: it is asked every few seconds and says nothing of what clients do.
func (s *tracedService) Ping(ctx context.Context) error { return s.next.Ping(ctx) }

func sinceAttrs(roomID string, since *int64) []attr {
	attrs := []attr{keyRoom.text(roomID)}
	if since != nil {
		attrs = append(attrs, keySince.int64(*since))
	}
	return attrs
}
