package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// asPosted converts a message frame of WebSocket to the form of the message API.
func asPosted(t *testing.T, p *apptest.Program, f apptest.Frame) posted {
	t.Helper()
	var m posted
	res := p.Get(t, "/messages/"+f.ID)
	res.JSON(t, &m)
	m.Raw = res.Body
	require.Equal(t, f.ID, m.ID)
	require.Equal(t, f.Text, m.Text)
	require.Equal(t, f.ClientID, m.UserID)
	require.Equal(t, f.RoomID, m.Chatroom)
	require.Equal(t, f.Timestamp, m.Created.UnixMilli())
	return m
}

// Members on Socket.IO and WebSocket are in one room and notice no difference.
func TestBothWorldsMeetInOneRoom(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	ada := register(t, p, "mixed-ada")
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			room := "mixed-" + w.name
			tells := func(format string, args ...any) string {
				return fmt.Sprintf(format[:1]+`"room_id":%q,`+format[1:], append([]any{room}, args...)...)
			}
			web := p.Join(t, room, "web")
			c, _ := open(d, p, w)
			join(t, c, ada, room)
			require.JSONEq(t, tells(`{"type":"user_joined","client_id":%q,"participant_count":2}`, ada), web.Next(t).Raw)

			// Messages over WebSocket, with the fields that only WebSocket has, and posted messages.
			web.Send(t, apptest.Message{Type: "message", Text: "<from> \"WebSocket\" 👋", Ref: "r", TraceParent: traceparent(frameTrace, "01")})
			_, f := web.UntilText(t, "<from> \"WebSocket\" 👋")
			require.Equal(t, "r", f.Ref)
			hearsOf(t, c, asPosted(t, p, f))
			m := post(t, p, obj{"message_text": "posted", "user_id": ada, "chatroom_id": room})
			hearsOf(t, c, m)
			f = web.Next(t)
			require.Equal(t, "message", f.Type)
			require.Equal(t, m, asPosted(t, p, f))

			web.Send(t, `{"type":"typing"}`)
			hears(t, c, "typing", tells(`{"type":"typing","client_id":"web"}`))
			other := p.Join(t, room, "other")
			hears(t, c, "user_joined", tells(`{"type":"user_joined","client_id":"other","participant_count":3}`))
			other.Leave(t)
			hears(t, c, "user_left", tells(`{"type":"user_left","client_id":"other","participant_count":2}`))

			// The same among Socket.IO clients.
			second, _ := open(d, p, byPolling)
			join(t, second, "second", room)
			hears(t, c, "user_joined", tells(`{"type":"user_joined","client_id":"second","participant_count":3}`))
			// A client with two connections of any kind is one participant, and gets no notices about itself.
			again := p.Join(t, room, "second")
			require.Equal(t, 3, participants(t, p, room))
			leave(t, second, "second", room)
			require.Equal(t, 3, participants(t, p, room))
			again.Send(t, `{"type":"typing"}`)
			hears(t, c, "typing", tells(`{"type":"typing","client_id":"second"}`))
			again.Leave(t)
			hears(t, c, "user_left", tells(`{"type":"user_left","client_id":"second","participant_count":2}`))
			web.UntilType(t, "user_left")
			web.UntilType(t, "user_joined")
			web.UntilType(t, "typing")
			web.UntilType(t, "user_left")

			leave(t, c, ada, room)
			require.JSONEq(t, tells(`{"type":"user_left","client_id":%q,"participant_count":1}`, ada), web.Next(t).Raw)
			join(t, c, ada, room)

			// Deleting a room closes a WebSocket, but not a Socket.IO socket, which may be in other rooms.
			require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/rooms/"+room, nil).Status)
			hears(t, c, "room_deleted", tells(`{"type":"room_deleted"}`))
			code, _ := web.Closed(t)
			require.Equal(t, 4001, code)
			join(t, c, ada, room)
			web = p.Join(t, room, "web")
			hears(t, c, "user_joined", tells(`{"type":"user_joined","client_id":"web","participant_count":2}`))
			say(t, web, "anew")
			hearsOf(t, c, asPosted(t, p, web.Messages()[0]))
			require.EqualValues(t, 1, web.Messages()[0].Seq)
			second.Disconnect()
			c.Disconnect()
			web.UntilType(t, "user_left")
		})
	}
}

// A client whose process ended leaves its rooms: at once over WebSocket, after an unanswered ping on polling.
func TestASocketIOClientThatVanishesLeaves(t *testing.T) {
	t.Parallel() // it mostly waits
	p := apptest.Start(t, apptest.Options{Args: []string{"--ping-interval", "1500ms"}})
	watcher := p.Join(t, "lobby", "watcher")
	other := p.Join(t, "attic", "watcher")
	d := stockclient.Start(t)
	for _, w := range ways {
		c, _ := open(d, p, w)
		join(t, c, w.name, "lobby")
		join(t, c, w.name, "attic")
	}
	left := func(c *apptest.Client) map[string]bool {
		gone := map[string]bool{}
		for range ways {
			_, f := c.UntilType(t, "user_left")
			gone[f.ClientID] = true
		}
		return gone
	}
	d.Kill()
	all := map[string]bool{"polling": true, "websocket": true, "upgrade": true}
	require.Equal(t, all, left(watcher))
	require.Equal(t, all, left(other))
	require.Equal(t, 1, participants(t, p, "lobby"))
	require.Equal(t, 1, participants(t, p, "attic"))
	apptest.Eventually(t, "all is counted", func() bool {
		m := p.Metrics(t)
		// The end of a process may also end the poll that it was waiting for.
		ends := m[`traceroom_disconnects_total{reason="ping_timeout",transport="socket.io"}`] +
			m[`traceroom_disconnects_total{reason="transport_close",transport="socket.io"}`] +
			m[`traceroom_disconnects_total{reason="transport_error",transport="socket.io"}`]
		return m[`traceroom_connections{transport="socket.io"}`] == 0 && m["traceroom_members"] == 2 && ends == 3
	})
}
