package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/workers"
)

// socketIO is the chat on Socket.IO: it gives events their meaning.
type socketIO struct {
	server *Server
	io     *socketio.Server
}

// session is one Socket.IO client, from its handshake to its end, over whatever transports. It is rooms.Sink for all
// rooms that the client is in.
//
// Its handler's goroutine owns socket, rate, ended and reason. mu guards joined and is never held while anything else is called.
type session struct {
	sio    *socketIO
	conn   *rooms.Conn
	ctx    context.Context  // says which connection this is; has no span and is never cancelled
	socket *socketio.Socket // nil: not connected to the namespace
	engine *engineio.Session
	rate   rate
	ended  bool
	reason engineio.Reason

	mu     sync.Mutex
	joined map[string]*rooms.Member // by room
}

var _ rooms.Sink = (*session)(nil)

func newSocketIO(s *Server, pool *workers.Pool) *socketIO {
	x := &socketIO{server: s}
	// TODO(cors): set CheckOrigin to take configured origins, and answer preflight requests. Until then browsers of the
	// same origin are accepted, and clients that send no Origin.
	x.io = socketio.NewServer(socketio.Options{Options: engineio.Options{
		Path: "/socket.io/", Pool: pool,
		PingInterval: s.cfg.Limits.PingInterval, PingTimeout: s.cfg.Limits.PingInterval,
		MaxPayload: s.cfg.Limits.Frame, Places: &s.places,
		QueueLimit: s.cfg.Limits.Queue, QueueBytes: s.cfg.Limits.QueueBytes, StallTimeout: s.cfg.Limits.Stall,
		HandshakeBytes: -1, Open: x.connecting,
		Hooks: engineio.Hooks{
			Open:  func(e *engineio.Session) { e.Value().(*session).engine = e },
			Close: func(e *engineio.Session, reason engineio.Reason, _ error) { e.Value().(*session).end(reason) },
		},
	}, MaxAttachments: -1})
	chat := x.io.Of("/")
	chat.OnConnect(func(_ context.Context, s *socketio.Socket) { sessionOf(s).socket = s })
	chat.OnDisconnect(func(_ context.Context, s *socketio.Socket, reason engineio.Reason) { sessionOf(s).disconnected(reason) })
	chat.On("join", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) { sessionOf(s).join(ev) })
	chat.On("leave", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) { sessionOf(s).leave(ev) })
	chat.On("message", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) { sessionOf(s).say(ev) })
	chat.On("typing", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) { sessionOf(s).typing(ev) })
	return x
}

func sessionOf(s *socketio.Socket) *session { return s.Session().Value().(*session) }

// connecting makes the session of a request that opens one.
func (x *socketIO) connecting(r *http.Request) engineio.Opening {
	s := x.server
	c := &session{sio: x, conn: &rooms.Conn{ID: s.connID(), Transport: sioFormat{}.Transport()}, joined: make(map[string]*rooms.Member),
		rate: newRate(s.cfg.Limits.SendRate)}
	c.conn.Sink = c
	ctx, answered := s.cfg.Connecting(r, c.conn)
	c.ctx = span.Detach(ctx)
	return engineio.Opening{Context: c.ctx, ConnID: c.conn.ID, Value: c, Answered: answered}
}

// disconnected leaves all rooms. The session may go on after that.
func (c *session) disconnected(reason engineio.Reason) {
	c.socket, c.reason = nil, reason
	c.mu.Lock()
	members := c.joined
	c.joined = make(map[string]*rooms.Member)
	c.mu.Unlock()
	for _, m := range members {
		c.leaveRoom(c.ctx, m)
	}
	if c.ended {
		c.disconnect(reason)
	}
}

// end is called when the session has ended. If the socket is still connected, disconnected is called next, so that the rooms
// are left first.
func (c *session) end(reason engineio.Reason) {
	c.ended = true
	if c.socket != nil {
		return
	}
	if c.reason != "" {
		reason = c.reason // why the socket disconnected; then the client closed the connection
	}
	c.disconnect(reason)
}

func (c *session) disconnect(reason engineio.Reason) {
	c.sio.server.cfg.Disconnected(c.ctx, c.conn, 0, string(reason))
}

func (c *session) leaveRoom(ctx context.Context, m *rooms.Member) {
	if err := c.sio.server.cfg.Service.Leave(ctx, m); err != nil {
		c.sio.server.logFault(ctx, "leave", err)
	}
}

// Format implements rooms.Sink.
func (*session) Format() rooms.Format { return sioFormat{} }

// Push implements rooms.Sink. A connection that is ending is not one that is too slow: it takes the bundle, and loses it.
func (c *session) Push(b *rooms.Bundle) bool {
	if c.engine.Push(b) {
		return true
	}
	if c.engine.Open() {
		return false
	}
	b.Done(c.conn.ID, false)
	return true
}

// Removed implements rooms.Sink.
func (c *session) Removed(m *rooms.Member, why rooms.Removal) {
	if why == rooms.RemovedSlow {
		c.engine.Abort(engineio.TooSlow, nil)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined[m.RoomID] == m {
		delete(c.joined, m.RoomID)
	}
}

// request is the payload of join and leave: ids under the names of either API, or only a room.
type request struct {
	UserID      string `json:"user_id"`
	ChatroomID  string `json:"chatroom_id"`
	ClientID    string `json:"client_id"`
	RoomID      string `json:"room_id"`
	Room        string `json:"room"`
	TraceParent string `json:"traceparent"`
	TraceState  string `json:"tracestate"`
}

const required = "user_id and chatroom_id are required"

// parse reads the payload of join or leave. If only a room is named, the socket's id is the client's.
func (c *session) parse(ev *socketio.Event) (req rooms.Join, trace rooms.TraceContext, err error) {
	return parseRequest(ev.Raw(0), c.socket.ID())
}

func parseRequest(raw json.RawMessage, socketID string) (req rooms.Join, trace rooms.TraceContext, err error) {
	missing := &rooms.Error{Code: rooms.CodeInvalid, Detail: required}
	var room string
	if json.Unmarshal(raw, &room) == nil && room != "" {
		return rooms.Join{RoomID: room, ClientID: socketID}, trace, nil
	}
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		return req, trace, missing
	}
	if len(r.TraceParent) <= maxTrace {
		trace = rooms.TraceContext{Parent: r.TraceParent, State: r.TraceState}
	}
	req.RoomID, req.ClientID = first(r.ChatroomID, r.RoomID), first(r.UserID, r.ClientID)
	if req.RoomID == "" && r.Room != "" {
		req.RoomID, req.ClientID = r.Room, first(req.ClientID, socketID)
	}
	if req.RoomID == "" || req.ClientID == "" {
		return req, trace, missing
	}
	return req, trace, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// chatroom is the payload of joined and left, and of the acknowledgements of join and leave.
type chatroom struct {
	ID string `json:"chatroom_id"`
}

func (c *session) join(ev *socketio.Event) {
	req, trace, err := c.parse(ev)
	if err == nil {
		err = c.joinRoom(span.Extract(c.ctx, trace.Parent, trace.State), req)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	c.answer(ev, "joined", req.RoomID)
}

// joinRoom joins the room, unless the session is in it already as this client.
func (c *session) joinRoom(ctx context.Context, req rooms.Join) error {
	c.mu.Lock()
	before := c.joined[req.RoomID]
	there := before != nil && !before.Ended()
	if there && before.ClientID == req.ClientID {
		c.mu.Unlock()
		return nil
	}
	delete(c.joined, req.RoomID)
	c.mu.Unlock()
	if there {
		c.leaveRoom(ctx, before)
	}
	m, err := c.sio.server.join(ctx, c.conn, req)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && !m.Ended() { // an ended membership need not be left
		c.joined[req.RoomID] = m
	}
	return err
}

func (c *session) leave(ev *socketio.Event) {
	req, trace, err := c.parse(ev)
	if err == nil {
		err = rooms.CheckID("chatroom_id", req.RoomID)
	}
	if err != nil {
		c.refuse(err)
		return
	}
	c.mu.Lock()
	m := c.joined[req.RoomID]
	delete(c.joined, req.RoomID)
	c.mu.Unlock()
	if m != nil {
		c.leaveRoom(span.Extract(c.ctx, trace.Parent, trace.State), m)
	}
	c.answer(ev, "left", req.RoomID)
}

// answer emits the event, and acknowledges ev with the same payload. It fails only if the connection is about to end.
func (c *session) answer(ev *socketio.Event, name, room string) {
	_ = c.socket.Emit(name, chatroom{room})
	_ = ev.Ack(chatroom{room})
}

// eventFields maps the rooms' names of fields to those in events, where they differ.
var eventFields = map[string]string{"room_id": "chatroom_id", "client_id": "user_id"}

// refuse emits an error event.
func (c *session) refuse(err error) {
	_ = c.socket.Emit("error", map[string]string{"message": rooms.AsError(renamed(err, eventFields)).Detail})
}

// sioFormat is the rooms.Format of Socket.IO: WebSocket frames of events of the namespace /.
type sioFormat struct{}

var _ rooms.Format = sioFormat{}

// Transport implements rooms.Format.
func (sioFormat) Transport() string { return "socket.io" }

// Append implements rooms.Format. There is no history over Socket.IO.
func (sioFormat) Append(dst []byte, ev *rooms.Event, _ string) []byte {
	switch ev.Kind {
	case rooms.EventHistory:
		return dst
	case rooms.EventMessage:
		dst, at := socketio.BeginEvent(dst, "/", "new_message")
		return socketio.EndEvent(appendPosted(dst, ev.Message), at)
	default:
		dst, at := socketio.BeginEvent(dst, "/", ev.Kind.String())
		return socketio.EndEvent(appendNotice(dst, ev), at)
	}
}

// appendPosted appends the JSON of a message, as POST /messages answers it (postedBody).
func appendPosted(dst []byte, m *rooms.Message) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendQuoted(dst, m.ID)
	dst = appendField(dst, "message_text", m.Text)
	dst = appendField(dst, "user_id", m.ClientID)
	dst = appendField(dst, "chatroom_id", m.RoomID)
	dst = append(dst, `,"is_reply":`...)
	dst = strconv.AppendBool(dst, m.IsReply)
	dst = append(dst, `,"parent_message_id":`...)
	if m.ParentID == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendQuoted(dst, m.ParentID)
	}
	dst = append(dst, `,"created_date":"`...)
	dst = m.CreatedAt.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","last_updated_date":"`...)
	dst = m.UpdatedAt.AppendFormat(dst, time.RFC3339Nano)
	return append(dst, `"}`...)
}
