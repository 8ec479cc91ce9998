package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// closeGrace is how long a peer may take to read what is left for it and to answer a close frame.
const closeGrace = 3 * time.Second

// sockets is the chat on WebSocket: it opens connections and holds those that are open.
type sockets struct {
	server *Server
	open   *ws.Group
}

func newSockets(s *Server, pool *workers.Pool) *sockets {
	l := &s.cfg.Limits
	// TODO(cors): take other origins than the page's own, as configured, with a CheckOrigin. Without it browsers of the same
	// origin are accepted, and clients that send no Origin.
	return &sockets{server: s, open: ws.NewGroup(pool, ws.Options{
		Limits:     ws.Limits{Items: l.Queue, Bytes: l.QueueBytes, Stall: l.Stall},
		MaxMessage: l.Frame, PingInterval: l.PingInterval, Linger: closeGrace, Gone: s.places.Leave,
	})}
}

// drain ends all connections, waits for them until ctx ends, and closes those that are left then.
func (ss *sockets) drain(ctx context.Context) {
	ss.open.Close(closeGoingAway)
	if ss.open.Wait(ctx) != nil {
		ss.open.HangUp()
	}
}

// serve answers GET /ws/{room_id}/{client_id}.
func (ss *sockets) serve(w http.ResponseWriter, r *http.Request) {
	s := ss.server
	req := rooms.Join{RoomID: r.PathValue("room_id"), ClientID: r.PathValue("client_id")}
	conn := &rooms.Conn{ID: s.connID(), Transport: wire{}.Transport()}
	ctx, answered := s.cfg.Connecting(r, conn)
	refuse := func(p *Problem) {
		p.write(w)
		answered(p.Status)
	}
	if err := rooms.CheckID("room_id", req.RoomID); err != nil {
		refuse(problemOf(err))
		return
	}
	if err := rooms.CheckID("client_id", req.ClientID); err != nil {
		refuse(problemOf(err))
		return
	}
	if since := r.URL.Query().Get("since"); since != "" {
		n, err := strconv.ParseInt(since, 10, 64)
		if err != nil || n < 0 {
			refuse(problemOf(&rooms.Error{Code: rooms.CodeInvalid, Field: "since", Detail: "since must be a sequence number, 0 or more"}))
			return
		}
		req.Since, req.Epoch = &n, r.URL.Query().Get("epoch")
	}
	if !s.places.Take() {
		refuse(newProblem(http.StatusServiceUnavailable, "the server has as many connections as it takes; try again later"))
		return
	}
	out, err := ss.open.Upgrade(w, r, conn.ID)
	if err != nil {
		s.places.Leave()
		var refused *ws.Refused
		switch {
		case errors.As(err, &refused):
			refuse(newProblem(refused.Status, refused.Reason))
		case errors.Is(err, ws.ErrClosed):
			// The server began to drain after the request came in.
			answered(http.StatusSwitchingProtocols)
			s.cfg.Disconnected(span.Detach(ctx), conn, closeGoingAway.Code, closeGoingAway.Reason)
		default:
			answered(http.StatusInternalServerError) // the connection broke; nobody can be told
		}
		return
	}
	c := &socket{server: s, conn: conn, out: out, ctx: span.Detach(ctx), rate: newRate(s.cfg.Limits.SendRate)}
	conn.Sink = c
	answered(http.StatusSwitchingProtocols)
	c.join(ctx, req)
	out.Start(c)
}

// socket is one WebSocket connection in one room. Its fields stay as they are once it is started, but for rate, which
// belongs to the goroutine that reads. The rooms call Format, Push and Removed; the connection calls Message and Ended.
type socket struct {
	server *Server
	conn   *rooms.Conn
	out    *ws.Conn
	ctx    context.Context // says which connection this is; has no span and is never cancelled
	member *rooms.Member   // nil: it could not join
	rate   rate
}

var (
	_ rooms.Sink = (*socket)(nil)
	_ ws.Handler = (*socket)(nil)
)

// Format implements rooms.Sink.
func (*socket) Format() rooms.Format { return wire{} }

// Push implements rooms.Sink. A connection that is ending is not one that is too slow: it takes the bundle, and loses it.
func (c *socket) Push(b *rooms.Bundle) bool {
	if c.out.Push(b) {
		return true
	}
	if c.out.Open() {
		return false
	}
	b.Done(c.conn.ID, false)
	return true
}

// Removed implements rooms.Sink.
func (c *socket) Removed(_ *rooms.Member, why rooms.Removal) {
	if why == rooms.RemovedDeleted {
		c.out.Finish(closeRoomDeleted)
		return
	}
	c.out.Abort(closeSlow)
}

// join joins the room, before anything is read from the connection. ctx is that of the request and is not kept.
func (c *socket) join(ctx context.Context, req rooms.Join) {
	m, err := c.server.join(ctx, c.conn, req)
	c.member = m
	if err == nil || !c.out.Open() { // if it has ended, Ended is told why
		return
	}
	e := rooms.AsError(err)
	c.tell(e, "")
	if e.Code == rooms.CodeUnavailable {
		c.out.Finish(closeFault)
	} else {
		c.out.Finish(ws.Status{Code: closeNotAllowed.Code, Reason: e.Detail})
	}
}

// tell sends an error frame. It does not fit only if the connection is about to end anyway.
func (c *socket) tell(e *rooms.Error, ref string) {
	c.out.Push(ws.Bytes(appendError(nil, e.Code, e.Detail, ref)))
}

// Message implements ws.Handler.
func (c *socket) Message(op ws.Op, p []byte) error {
	if op != ws.Text {
		return closeUnsupported
	}
	f, err := parseFrame(p)
	now := time.Now()
	if err == nil && !c.rate.allow(now) {
		err = &rooms.Error{Code: codeRateLimited, Detail: "too many messages; send fewer a second"}
	}
	if err == nil {
		err = c.handle(f, now)
	}
	if err != nil {
		c.tell(rooms.AsError(err), f.Ref)
	}
	return nil
}

// handle does what the client asks.
func (c *socket) handle(f frame, now time.Time) error {
	ctx := c.ctx
	if f.TraceParent != "" {
		ctx = span.Extract(ctx, f.TraceParent, f.TraceState)
	}
	service := c.server.cfg.Service
	if f.Type == "typing" {
		return service.Typing(ctx, c.member)
	}
	ref := f.Ref // all that is kept of the frame until the message is stored
	return service.Send(ctx, rooms.Post{
		RoomID: c.member.RoomID, ClientID: c.member.ClientID, Text: f.Text, Ref: ref,
		Transport: c.conn.Transport, Received: now, From: c.member,
	}, func(_ *rooms.Message, _ bool, err error) {
		if err != nil {
			c.tell(rooms.AsError(err), ref)
		}
	})
}

// Ended implements ws.Handler: it leaves the room.
func (c *socket) Ended(why ws.Status, err error) {
	if errors.Is(err, ws.ErrStalled) && why == ws.Lost {
		why = closeSlow // which the peer was not told, as it takes nothing
	}
	c.out.Finish(ws.Status{}) // nothing that the room still says is written
	if c.member != nil {
		if err := c.server.cfg.Service.Leave(c.ctx, c.member); err != nil {
			c.server.logFault(c.ctx, "leave", err)
		}
	}
	c.server.cfg.Disconnected(c.ctx, c.conn, why.Code, why.Reason)
}
