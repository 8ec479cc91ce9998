package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// postAs posts a message with an Idempotency-Key.
func postAs(t *testing.T, p *apptest.Program, key string, body obj) *apptest.Response {
	t.Helper()
	b, err := json.Marshal(body)
	require.NoError(t, err)
	return p.Do(t, http.MethodPost, "/messages", b, "Content-Type", "application/json", "Idempotency-Key", key)
}

// ask emits an event from a client and returns its acknowledgement.
func ask(t *testing.T, c *stockclient.Client, name string, data obj) string {
	t.Helper()
	c.Ask(name, data)
	h := c.Await("ack")
	require.Len(t, h.Args, 1)
	return string(h.Args[0])
}

// A message that was sent before a kill is sent again after it, on each transport: the answer is the same, and it is stored once.
func TestSendingAgainAfterAKill(t *testing.T) {
	for name, database := range map[string]func(t *testing.T) []string{
		"SQLite":     func(*testing.T) []string { return nil },
		"PostgreSQL": func(t *testing.T) []string { return []string{"DATABASE_URL=" + pgtest.Start(t).Database(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			p := apptest.Start(t, apptest.Options{Env: database(t)})
			d := stockclient.Start(t)
			ada := register(t, p, "ada")
			room := chatroom(t, p, "Readers")
			body := obj{"message_text": "posted", "user_id": ada, "chatroom_id": room}
			event := obj{"text": "emitted", "chatroom_id": room, "ref": "its ref"}
			frame := apptest.Message{Type: "message", Text: "framed", Ref: "its ref"}
			send := func(query url.Values) (answers []string, c *apptest.Client) {
				c = p.Connect(t, apptest.Dial{Room: room, Client: "web", Query: query})
				c.Send(t, frame)
				_, f := c.Until(t, func(f apptest.Frame) bool { return f.Ref == frame.Ref })
				require.Equal(t, frame.Text, f.Text)
				res := postAs(t, p, "its key", body)
				require.Equal(t, http.StatusCreated, res.Status, res.Body)
				io, _ := open(d, p, byWebSocket)
				join(t, io, ada, room)
				ack := ask(t, io, "message", event)
				require.Contains(t, ack, `"message_text":"emitted"`)
				io.Disconnect()
				return []string{f.ID, fmt.Sprint(f.Seq), f.TraceParent[:35], res.Body, ack}, c
			}
			before, c := send(nil)
			before[2] = "" // first of the broadcast, then of the stored message: the same trace
			trace := c.Messages()[0].TraceParent[:35]
			epoch := c.Epoch()
			require.NotEmpty(t, epoch)

			p.Kill(t)
			p.Restart(t)
			after, c := send(url.Values{"since": {"1"}, "epoch": {epoch}})
			require.Equal(t, trace, after[2])
			after[2] = ""
			require.Equal(t, before, after)
			require.Equal(t, epoch, c.Epoch(), "a kill takes nothing")
			require.Equal(t, "history", c.Frames()[0].Type)
			require.False(t, c.Frames()[0].Reset)
			require.Len(t, c.Frames()[0].Messages, 2)
			require.Contains(t, p.Get(t, "/messages/chatroom/"+room).Body, `"total":3`)

			// It is not counted as stored, and the trace log says why.
			m := p.Metrics(t)
			for _, transport := range []string{"websocket", "http", "socket.io"} {
				require.Zero(t, m[fmt.Sprintf("traceroom_messages_total{transport=%q}", transport)], transport)
			}
			require.Zero(t, m["traceroom_store_batch_size_sum"])
			p.Stop(t)
			repeated := 0
			for _, l := range p.TraceLog(t) {
				if l.Event == "EXIT" && l.Function == "receive" && l.Result != nil && strings.Contains(*l.Result, `"repeated":"true"`) {
					repeated++
				}
			}
			require.Equal(t, 3, repeated)
			requireNoProblems(t, p)
		})
	}
}

// A client reconnects to another node and sends again there.
func TestSendingAgainToAnotherNode(t *testing.T) {
	c := startCluster(t, 2)
	here, there := c.nodes[0], c.nodes[1]
	bob := there.Join(t, "lobby", "bob")
	ada := here.Join(t, "lobby", "ada")
	for i := range 10 {
		m := apptest.Message{Type: "message", Text: fmt.Sprint(i), Ref: fmt.Sprint("r", i)}
		ada.Send(t, m)
		_, first := ada.Until(t, func(f apptest.Frame) bool { return f.Ref == m.Ref })
		again := there.Join(t, "lobby", "ada")
		again.Send(t, m)
		_, second := again.Until(t, func(f apptest.Frame) bool { return f.Ref == m.Ref })
		require.Equal(t, first.ID, second.ID)
		again.Drop()
		if i == 4 {
			c.ways[1].Cut() // the other node finds the messages in the store
		}
	}
	ada.Say(t, "end")
	bob.UntilText(t, "end")
	var texts []string
	for _, f := range bob.Messages() {
		texts = append(texts, f.Text)
	}
	require.Equal(t, "0 1 2 3 4 5 6 7 8 9 end", strings.Join(texts, " "))
}

func TestAnIdempotencyKeyThatCannotBeOne(t *testing.T) {
	p := apptest.Shared(t)
	body := obj{"message_text": "x", "user_id": register(t, p, "of-keys"), "chatroom_id": "general"}
	for _, key := range []string{strings.Repeat("k", 65), "a\tb", "\xff"} {
		require.Contains(t, requireProblem(t, http.StatusUnprocessableEntity, postAs(t, p, key, body)).Detail, "Idempotency-Key")
	}
}

// A room was deleted and made anew: a client that resumes is told so, on each transport.
func TestResumingInARoomThatWasMadeAnew(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "anew", "ada")
	old := ada.Epoch()
	ada.Say(t, "old")
	ada.UntilText(t, "old")
	type page struct {
		Epoch    string
		Reset    bool
		Messages []json.RawMessage
	}
	read := func(path string) (got page) {
		p.Get(t, path).JSON(t, &got)
		return got
	}
	var room struct{ Epoch string }
	p.Get(t, "/rooms/anew").JSON(t, &room)
	require.Equal(t, old, room.Epoch)
	for _, path := range []string{"/rooms/anew/messages", "/messages/chatroom/anew"} {
		require.Equal(t, page{Epoch: old, Messages: []json.RawMessage{}}, read(path+"?since=1&epoch="+old))
		beyond := read(path + "?since=2&epoch=" + old)
		require.True(t, beyond.Reset)
		require.Len(t, beyond.Messages, 1)
	}

	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/rooms/anew", nil).Status)
	bob := p.Join(t, "anew", "bob")
	require.NotEqual(t, old, bob.Epoch())
	say(t, bob, "new 1", "new 2")
	for _, path := range []string{"/rooms/anew/messages", "/messages/chatroom/anew"} {
		got := read(path + "?since=1&epoch=" + old)
		require.True(t, got.Reset)
		require.Equal(t, bob.Epoch(), got.Epoch)
		require.Len(t, got.Messages, 2)
		require.Len(t, read(path+"?since=1").Messages, 1, "without an epoch it is as it was")
	}
	f := p.Connect(t, apptest.Dial{Room: "anew", Client: "ada", Query: url.Values{"since": {"1"}, "epoch": {old}}}).Next(t)
	require.Equal(t, "history", f.Type)
	require.True(t, f.Reset)
	require.Len(t, f.Messages, 2)
}

// Sending over Socket.IO.
func TestSpeakingOverSocketIO(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Env: []string{"SEND_RATE=5"}})
	d := stockclient.Start(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			room := "speaking-" + w.name
			web := p.Join(t, room, "web")
			c, _ := open(d, p, w)
			join(t, c, "ada", room)
			web.UntilType(t, "user_joined")

			// The acknowledgement and the event, in either order, have the message as all members get it.
			c.Ask("message", obj{"chatroom_id": room, "text": "Hello!", "ref": "1", "traceparent": traceparent(frameTrace, "01")})
			told := map[string]string{}
			for len(told) < 2 {
				if h := c.Next(); h.Kind == "ack" || h.Kind == "event" {
					told[h.Kind] = string(h.Args[0])
				}
			}
			_, f := web.UntilText(t, "Hello!")
			require.Equal(t, "ada", f.ClientID)
			require.Contains(t, f.TraceParent, frameTrace)
			m := asPosted(t, p, f)
			require.JSONEq(t, m.Raw, told["ack"])
			require.JSONEq(t, m.Raw, told["event"])

			c.Emit("message", obj{"room_id": room, "client_id": "ada", "message_text": "a reply", "is_reply": true, "parent_message_id": m.ID})
			_, f = web.UntilText(t, "a reply")
			reply := asPosted(t, p, f)
			require.True(t, reply.IsReply)
			require.Equal(t, m.ID, *reply.ParentID)
			hearsOf(t, c, reply)

			c.Emit("typing", obj{"chatroom_id": room})
			require.Equal(t, "ada", func() string { _, f := web.UntilType(t, "typing"); return f.ClientID }())

			require.JSONEq(t, m.Raw, ask(t, c, "message", obj{"chatroom_id": room, "text": "Hello!", "ref": "1"}), "again")
			for _, wrong := range []struct {
				data obj
				code string
			}{
				{obj{"chatroom_id": "elsewhere", "text": "x"}, "not_joined"},
				{obj{"chatroom_id": room, "user_id": "bob", "text": "x"}, "not_joined"},
				{obj{"text": "x"}, "invalid"},
				{obj{"chatroom_id": room}, "empty_text"},
				{obj{"chatroom_id": room, "text": strings.Repeat("x", 4097)}, "text_too_long"},
				{obj{"chatroom_id": room, "text": "x", "ref": strings.Repeat("r", 65)}, "invalid"},
				{obj{"chatroom_id": room, "text": "x", "parent_message_id": "none"}, "not_found"},
				{obj{"chatroom_id": room, "text": 1}, "invalid"},
			} {
				var refused struct{ Error, Code string }
				require.NoError(t, json.Unmarshal([]byte(ask(t, c, "message", wrong.data)), &refused))
				require.Equal(t, wrong.code, refused.Code, wrong.data)
				require.NotEmpty(t, refused.Error)
			}
			c.Emit("message", obj{"chatroom_id": "elsewhere", "text": "x", "ref": "2"})
			hears(t, c, "error", `{"message":"chatroom_id must be of a room that this socket has joined","code":"not_joined","ref":"2"}`)

			// It is slowed down like WebSocket connections.
			limited := false
			for range 30 {
				limited = limited || strings.Contains(ask(t, c, "typing", obj{"chatroom_id": room}), "rate_limited")
			}
			require.True(t, limited)
			require.Contains(t, p.Get(t, "/messages/chatroom/"+room).Body, `"total":2`)
			c.Disconnect()
		})
	}
	require.EqualValues(t, 6, p.Metrics(t)[`traceroom_messages_total{transport="socket.io"}`])
}
