package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// way is how an official client connects, and whether it then changes from polling to WebSocket.
type way struct {
	name     string
	options  stockclient.Options
	upgrades bool
}

var (
	byPolling   = way{"polling", stockclient.Options{"transports": []string{"polling"}}, false}
	byWebSocket = way{"websocket", stockclient.Options{"transports": []string{"websocket"}}, false}
	byUpgrade   = way{"upgrade", nil, true}
	ways        = []way{byPolling, byWebSocket, byUpgrade}
)

// with returns the options of w together with more.
func (w way) with(more stockclient.Options) stockclient.Options {
	all := stockclient.Options{}
	maps.Copy(all, w.options)
	maps.Copy(all, more)
	return all
}

// open connects a client and waits until it has its final transport. It returns the id of its socket.
func open(d *stockclient.Driver, p *apptest.Program, w way) (c *stockclient.Client, socketID string) {
	c = d.Open(p.URL, w.options)
	for upgrades := w.upgrades; socketID == "" || upgrades; {
		switch h := c.Next(); h.Kind {
		case "connect":
			socketID = h.ID
		case "upgrade":
			upgrades = false
		}
	}
	return c, socketID
}

type obj = map[string]any

// hear returns the next event that a client receives, which must have one argument.
func hear(t *testing.T, c *stockclient.Client) (name, data string) {
	t.Helper()
	h := c.Await("event")
	require.Len(t, h.Args, 1, h.Name)
	return h.Name, string(h.Args[0])
}

// hears checks that the next event is this one.
func hears(t *testing.T, c *stockclient.Client, name, data string) {
	t.Helper()
	gotName, got := hear(t, c)
	require.Equal(t, name, gotName, got)
	require.JSONEq(t, data, got)
}

// hearsAtLast waits for an event of this name and skips those before it.
func hearsAtLast(t *testing.T, c *stockclient.Client, name string) (data string) {
	t.Helper()
	for {
		if got, data := hear(t, c); got == name {
			return data
		}
	}
}

// hearsOf checks that the next event is this message.
func hearsOf(t *testing.T, c *stockclient.Client, m posted) {
	t.Helper()
	hears(t, c, "new_message", m.Raw)
}

func join(t *testing.T, c *stockclient.Client, user, room string) {
	t.Helper()
	c.Emit("join", obj{"user_id": user, "chatroom_id": room})
	hears(t, c, "joined", fmt.Sprintf(`{"chatroom_id":%q}`, room))
}

func leave(t *testing.T, c *stockclient.Client, user, room string) {
	t.Helper()
	c.Emit("leave", obj{"user_id": user, "chatroom_id": room})
	hears(t, c, "left", fmt.Sprintf(`{"chatroom_id":%q}`, room))
}

func participants(t *testing.T, p *apptest.Program, room string) int {
	t.Helper()
	var rooms struct {
		Rooms []struct {
			ID           string `json:"room_id"`
			Participants int    `json:"participant_count"`
		}
	}
	p.Get(t, "/rooms").JSON(t, &rooms)
	for _, r := range rooms.Rooms {
		if r.ID == room {
			return r.Participants
		}
	}
	t.Fatalf("there is no room %s", room)
	return 0
}

// What a client that was written for a FastAPI and Socket.IO server does, from its first call on.
func TestAChatClientWorksUnchanged(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			ada, bob := register(t, p, "ada-by-"+w.name), register(t, p, "bob-by-"+w.name)
			room := chatroom(t, p, "Readers by "+w.name)
			c, _ := open(d, p, w)
			join(t, c, ada, room)
			for _, text := range []string{"Hello!", "<b>héllo</b> \"\\ 👋\u2028", strings.Repeat("👋", 4096)} {
				for _, user := range []string{ada, bob} {
					hearsOf(t, c, post(t, p, obj{"message_text": text, "user_id": user, "chatroom_id": room}))
				}
			}
			first := post(t, p, obj{"message_text": "first", "user_id": ada, "chatroom_id": room})
			hearsOf(t, c, first)
			reply := post(t, p, obj{"message_text": "to it", "user_id": bob, "chatroom_id": room, "is_reply": true, "parent_message_id": first.ID})
			require.True(t, reply.IsReply)
			hearsOf(t, c, reply)
			c.Disconnect()
			require.Equal(t, "io client disconnect", c.Await("disconnect").Reason)
			apptest.Eventually(t, "it has left the room", func() bool { return participants(t, p, room) == 0 })
		})
	}
}

func TestSocketIOClientsComeBackAfterARestart(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	d := stockclient.Start(t)
	ada, room := register(t, p, "ada"), chatroom(t, p, "Readers")
	var clients []*stockclient.Client
	for _, w := range ways {
		w.options = w.with(stockclient.Options{"reconnectionDelay": 50, "reconnectionDelayMax": 200})
		c, _ := open(d, p, w)
		clients = append(clients, c)
	}
	for _, end := range []func(){func() { p.Stop(t) }, func() { p.Kill(t) }, nil} {
		// They join again, as clients of a restarted server do.
		for i, c := range clients {
			join(t, c, fmt.Sprint("client", i), room)
		}
		m := post(t, p, obj{"message_text": "hello", "user_id": ada, "chatroom_id": room})
		for _, c := range clients {
			require.JSONEq(t, m.Raw, hearsAtLast(t, c, "new_message"))
		}
		if end == nil {
			break
		}
		end()
		for _, c := range clients {
			require.Contains(t, []string{"transport close", "transport error"}, c.Await("disconnect").Reason)
		}
		p.Restart(t)
		for _, c := range clients {
			c.Await("connect")
		}
		require.Zero(t, participants(t, p, room))
	}
}

func TestSocketIOIsForPagesOfTheSameOrigin(t *testing.T) {
	p := apptest.Shared(t)
	const handshake = "/socket.io/?EIO=4&transport=polling"
	own := p.Get(t, handshake, "Origin", p.URL)
	require.Equal(t, http.StatusOK, own.Status, own.Body)
	var session struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(own.Body[1:]), &session))
	const evil = "http://evil.example"
	for _, origin := range []string{evil, "null", p.URL + ".evil.example", "http://127.0.0.1"} {
		for _, call := range []string{"GET " + handshake, "POST " + handshake + "&sid=" + session.SID, "GET " + handshake + "&sid=" + session.SID, "OPTIONS " + handshake} {
			method, path, _ := strings.Cut(call, " ")
			res := p.Do(t, method, path, []byte("40"), "Origin", origin, "Access-Control-Request-Method", method)
			require.Equal(t, http.StatusForbidden, res.Status, "%s from %s", call, origin)
			for name := range res.Header {
				require.NotContains(t, name, "Access-Control")
			}
		}
		dial := websocket.Dialer{HandshakeTimeout: apptest.Patience}
		conn, res, err := dial.Dial("ws://"+p.Addr+"/socket.io/?EIO=4&transport=websocket", http.Header{"Origin": {origin}})
		if conn != nil {
			conn.Close()
		}
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		res.Body.Close()
	}
	// The session that others tried to use is unchanged.
	require.Equal(t, "ok", p.Do(t, http.MethodPost, handshake+"&sid="+session.SID, []byte("40"), "Origin", p.URL).Body)
	require.Contains(t, p.Get(t, handshake+"&sid="+session.SID).Body, "40")

	d := stockclient.Start(t)
	for _, w := range ways[:2] {
		foreign := d.Open(p.URL, w.with(stockclient.Options{"reconnection": false, "extraHeaders": obj{"Origin": evil}}))
		foreign.Await("connect_error")
		d.Open(p.URL, w.with(stockclient.Options{"extraHeaders": obj{"Origin": p.URL}})).Await("connect")
	}
}
