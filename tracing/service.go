package tracing

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/tracelog"
)

// tracedService is a Service of which every call but Ping is a span.
type tracedService struct {
	next rooms.Service
	t    *Telemetry
}

var _ rooms.Service = (*tracedService)(nil)

// Service wraps next: every call of it is a span, except Ping.
func (t *Telemetry) Service(next rooms.Service) rooms.Service { return &tracedService{next, t} }

func (s *tracedService) CreateRoom(ctx context.Context, id, name string) (room rooms.Room, created bool, err error) {
	var attrs []span.Attr
	if id != "" {
		attrs = []span.Attr{keyRoom.Of(id)}
	}
	ctx, sp := s.t.tracer.Start(ctx, opCreateRoom, attrs...)
	defer func() {
		if err == nil {
			sp.Set(keyRoom.Of(room.ID))
		}
		s.end(sp, err)
	}()
	return s.next.CreateRoom(ctx, id, name)
}

func (s *tracedService) Room(ctx context.Context, id string) (room rooms.Room, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opGetRoom, keyRoom.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.Room(ctx, id)
}

func (s *tracedService) Rooms(ctx context.Context) (list []rooms.Room, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opListRooms)
	defer func() { sp.Set(keyCount.Int(len(list))); s.end(sp, err) }()
	return s.next.Rooms(ctx)
}

func (s *tracedService) DeleteRoom(ctx context.Context, id string) (err error) {
	ctx, sp := s.t.tracer.Start(ctx, opDeleteRoom, keyRoom.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.DeleteRoom(ctx, id)
}

func (s *tracedService) Messages(ctx context.Context, roomID string, q rooms.Query) (page rooms.Page, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opMessages, sinceAttrs(roomID, q.Since)...)
	defer func() { sp.Set(keyCount.Int(len(page.Messages))); s.end(sp, err) }()
	return s.next.Messages(ctx, roomID, q)
}

func (s *tracedService) Message(ctx context.Context, id string) (m *rooms.Message, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opGetMessage, keyMessage.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.Message(ctx, id)
}

func (s *tracedService) DeleteMessage(ctx context.Context, id string) (err error) {
	ctx, sp := s.t.tracer.Start(ctx, opDeleteMessage, keyMessage.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.DeleteMessage(ctx, id)
}

func (s *tracedService) CreateUser(ctx context.Context, name, handle string) (u rooms.User, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opCreateUser, keyHandle.Of(handle))
	defer func() { s.end(sp, err) }()
	return s.next.CreateUser(ctx, name, handle)
}

func (s *tracedService) User(ctx context.Context, id string) (u rooms.User, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opGetUser, keyUser.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.User(ctx, id)
}

func (s *tracedService) Users(ctx context.Context) (list []rooms.User, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opListUsers)
	defer func() { sp.Set(keyCount.Int(len(list))); s.end(sp, err) }()
	return s.next.Users(ctx)
}

func (s *tracedService) DeleteUser(ctx context.Context, id string) (err error) {
	ctx, sp := s.t.tracer.Start(ctx, opDeleteUser, keyUser.Of(id))
	defer func() { s.end(sp, err) }()
	return s.next.DeleteUser(ctx, id)
}

func (s *tracedService) PostMessage(ctx context.Context, p rooms.Post) (m *rooms.Message, repeated bool, err error) {
	ctx, sp := s.receive(ctx, &p)
	defer func() { s.received(sp, p.Transport, m, repeated, err) }()
	return s.next.PostMessage(ctx, p)
}

func (s *tracedService) Send(ctx context.Context, p rooms.Post, done func(*rooms.Message, bool, error)) error {
	ctx, sp := s.receive(ctx, &p)
	err := s.next.Send(ctx, p, func(m *rooms.Message, repeated bool, err error) {
		s.received(sp, p.Transport, m, repeated, err)
		done(m, repeated, err)
	})
	if err != nil {
		s.end(sp, err)
	}
	return err
}

// receive starts the span of a message that a client sends, and gives the message the span's context to be stored with.
func (s *tracedService) receive(ctx context.Context, p *rooms.Post) (context.Context, *span.Span) {
	if s.t.withText {
		ctx = tracelog.WithText(ctx, p.Text)
	}
	if p.Received.IsZero() {
		p.Received = time.Now()
	}
	var room [5]span.Attr
	attrs := append(room[:0], keyRoom.Of(p.RoomID), keyClient.Of(p.ClientID),
		keyEvent.Of(rooms.EventMessage.String()), keySize.Int(len(p.Text)))
	ctx, sp := s.t.tracer.StartFrom(ctx, p.Received, opReceive, appendSystem(ctx, attrs, p.Transport)...)
	p.Trace = traceContext(ctx, sp)
	return ctx, sp
}

func (s *tracedService) received(sp *span.Span, transport string, m *rooms.Message, repeated bool, err error) {
	switch {
	case err != nil:
		s.end(sp, err)
	case repeated:
		sp.FinishAt(time.Now(), nil, keyMessage.Of(m.ID), keySeq.Int64(m.Seq), keyRepeated.Of("true"))
	default:
		s.t.metrics.stored(transport)
		sp.FinishAt(time.Now(), nil, keyMessage.Of(m.ID), keySeq.Int64(m.Seq))
	}
}

func (s *tracedService) Join(ctx context.Context, conn *rooms.Conn, req rooms.Join) (m *rooms.Member, err error) {
	ctx, sp := s.t.tracer.Start(ctx, opJoin, append(sinceAttrs(req.RoomID, req.Since), keyClient.Of(req.ClientID))...)
	defer func() { s.end(sp, err) }()
	return s.next.Join(ctx, conn, req)
}

func (s *tracedService) Leave(ctx context.Context, m *rooms.Member) (err error) {
	ctx, sp := s.t.tracer.Start(ctx, opLeave, keyRoom.Of(m.RoomID), keyClient.Of(m.ClientID))
	defer func() { s.end(sp, err) }()
	return s.next.Leave(ctx, m)
}

func (s *tracedService) Typing(ctx context.Context, m *rooms.Member) (err error) {
	ctx, sp := s.t.tracer.Start(ctx, opReceive, keyRoom.Of(m.RoomID), keyClient.Of(m.ClientID),
		keyEvent.Of(rooms.EventTyping.String()))
	defer func() { s.end(sp, err) }()
	return s.next.Typing(ctx, m)
}

// end ends the span of a service call, and logs an error that is the server's own fault.
func (s *tracedService) end(sp *span.Span, err error) {
	s.t.fault(sp, err)
	sp.Finish(err)
}

// Ping is not traced: it is called every few seconds, and says nothing of what clients do.
func (s *tracedService) Ping(ctx context.Context) error { return s.next.Ping(ctx) }

func sinceAttrs(roomID string, since *int64) []span.Attr {
	attrs := []span.Attr{keyRoom.Of(roomID)}
	if since != nil {
		attrs = append(attrs, keySince.Int64(*since))
	}
	return attrs
}

// fault logs the cause of an error of which a client is told only that the server could not do what was asked.
func (t *Telemetry) fault(sp *span.Span, err error) {
	if err == nil {
		return
	}
	if e := rooms.AsError(err); e.Code == rooms.CodeUnavailable && e.Cause != nil {
		fields := []zap.Field{zap.Error(e.Cause)}
		if sp != nil {
			fields = append(fields, zap.Stringer("trace_id", sp.TraceID()))
		}
		t.log.Error(e.Detail, fields...)
	}
}
