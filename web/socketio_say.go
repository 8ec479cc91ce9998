package web

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/socketio"
)

// codeNotJoined is the code for a client that speaks in a room that it has not joined, or has joined as another client.
const codeNotJoined rooms.Code = "not_joined"

// saying is the payload of message and typing: a room that the client has joined, and the text, under the names of either
// API.
type saying struct {
	request
	Text        string `json:"text"`
	MessageText string `json:"message_text"`
	Ref         string `json:"ref"`
	IsReply     bool   `json:"is_reply"`
	ParentID    string `json:"parent_message_id"`
}

// speaking reads the payload of message or typing, and finds the member that speaks.
func (c *session) speaking(ev *socketio.Event) (s saying, m *rooms.Member, trace rooms.TraceContext, err error) {
	if json.Unmarshal(ev.Raw(0), &s) != nil {
		return saying{}, nil, trace, &rooms.Error{Code: rooms.CodeInvalid,
			Detail: fmt.Sprintf(`%s takes an object such as {"chatroom_id":"general","text":"…"}`, ev.Name)}
	}
	if !c.rate.allow(time.Now()) {
		return s, nil, trace, &rooms.Error{Code: codeRateLimited, Detail: "too many messages; send fewer a second"}
	}
	room, client := first(first(s.ChatroomID, s.RoomID), s.Room), first(s.UserID, s.ClientID)
	if room == "" {
		return s, nil, trace, &rooms.Error{Code: rooms.CodeInvalid, Field: "chatroom_id", Detail: "chatroom_id is required"}
	}
	c.mu.Lock()
	m = c.joined[room]
	c.mu.Unlock()
	switch {
	case m == nil:
		return s, nil, trace, &rooms.Error{Code: codeNotJoined, Field: "chatroom_id", Detail: "chatroom_id must be of a room that this socket has joined"}
	case client != "" && client != m.ClientID:
		return s, nil, trace, &rooms.Error{Code: codeNotJoined, Field: "user_id", Detail: "user_id must be the one that joined the room"}
	}
	if len(s.TraceParent) <= maxTrace && len(s.TraceState) <= maxTrace {
		trace = rooms.TraceContext{Parent: s.TraceParent, State: s.TraceState}
	}
	return s, m, trace, nil
}

// say stores the client's message. The acknowledgement is the stored message.
func (c *session) say(ev *socketio.Event) {
	s, m, trace, err := c.speaking(ev)
	socket := c.socket // done is called by another goroutine
	if err == nil {
		// Without From no member is told of a repetition: the acknowledgement is enough.
		err = c.sio.server.cfg.Service.Send(span.Extract(c.ctx, trace.Parent, trace.State), rooms.Post{
			RoomID: m.RoomID, ClientID: m.ClientID, Text: first(s.Text, s.MessageText), IsReply: s.IsReply, ParentID: s.ParentID,
			Ref: s.Ref, Transport: c.conn.Transport, Received: time.Now(),
		}, func(m *rooms.Message, _ bool, err error) {
			if err != nil {
				unsaid(socket, ev, s.Ref, err)
				return
			}
			_ = ev.Ack(json.RawMessage(appendPosted(nil, m))) // fails only if the connection is about to end
		})
	}
	if err != nil {
		unsaid(socket, ev, s.Ref, err)
	}
}

// typing tells the room's other members that the client is typing.
func (c *session) typing(ev *socketio.Event) {
	s, m, trace, err := c.speaking(ev)
	if err == nil {
		err = c.sio.server.cfg.Service.Typing(span.Extract(c.ctx, trace.Parent, trace.State), m)
	}
	if err != nil {
		unsaid(c.socket, ev, s.Ref, err)
		return
	}
	_ = ev.Ack(chatroom{m.RoomID})
}

// unsaid tells the client why something was not said: in the acknowledgement, or in an error event if none was asked for.
func unsaid(socket *socketio.Socket, ev *socketio.Event, ref string, err error) {
	e := rooms.AsError(renamed(err, eventFields))
	if ev.WantsAck() {
		_ = ev.Ack(struct {
			Error string     `json:"error"`
			Code  rooms.Code `json:"code"`
		}{e.Detail, e.Code})
		return
	}
	if rooms.CheckRef("ref", ref) != nil {
		ref = ""
	}
	_ = socket.Emit("error", struct {
		Message string     `json:"message"`
		Code    rooms.Code `json:"code"`
		Ref     string     `json:"ref,omitempty"`
	}{e.Detail, e.Code, ref})
}
