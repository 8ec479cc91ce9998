package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

const fieldsRequired = `{"message":"user_id and chatroom_id are required"}`

func TestAJoinWithoutItsFieldsIsAnsweredWithOneError(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	payloads := map[string][]any{
		"nothing":              nil,
		"undefined":            {stockclient.Undefined},
		"null":                 {nil},
		"a number":             {17},
		"zero":                 {0},
		"true":                 {true},
		"an empty string":      {""},
		"a list":               {[]any{}},
		"a list of ids":        {[]any{"ada", "odd"}},
		"an empty object":      {obj{}},
		"user_id alone":        {obj{"user_id": "ada"}},
		"chatroom_id alone":    {obj{"chatroom_id": "odd"}},
		"client_id alone":      {obj{"client_id": "ada"}},
		"room_id alone":        {obj{"room_id": "odd"}},
		"an empty user_id":     {obj{"user_id": "", "chatroom_id": "odd"}},
		"an empty chatroom_id": {obj{"user_id": "ada", "chatroom_id": ""}},
		"null as ids":          {obj{"user_id": nil, "chatroom_id": nil}},
		"numbers as ids":       {obj{"user_id": 1, "chatroom_id": 2}},
		"objects as ids":       {obj{"user_id": obj{}, "chatroom_id": []any{"odd"}}},
		"an empty room":        {obj{"room": ""}},
		"a number as room":     {obj{"room": 17}},
		"undefined as ids":     {obj{"user_id": stockclient.Undefined, "chatroom_id": stockclient.Undefined}},
		"two arguments":        {17, obj{"user_id": "ada", "chatroom_id": "odd"}},
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			c, _ := open(d, p, w)
			for _, event := range []string{"join", "leave"} {
				for name, payload := range payloads {
					c.Emit(event, payload...)
					got, data := hear(t, c)
					require.Equal(t, "error", got, "%s with %s", event, name)
					require.JSONEq(t, fieldsRequired, data, "%s with %s", event, name)
					// The same if it wants an acknowledgement, which it does not get.
					c.Ask(event, payload...)
					hears(t, c, "error", fieldsRequired)
				}
				// Next comes the answer to the next event: there was one error for each, and nobody was disconnected.
				join(t, c, "ada", "odd-"+w.name)
				leave(t, c, "ada", "odd-"+w.name)
			}
			require.Empty(t, c.Happenings)
		})
	}
	require.NotContains(t, p.Get(t, "/rooms").Body, `"odd"`, "no room was made of it")
}

func TestAJoinThatCannotBeIsToldWhy(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--max-rooms", "4"}})
	d := stockclient.Start(t)
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			c, _ := open(d, p, w)
			for _, test := range []struct {
				payload any
				says    string
			}{
				{obj{"user_id": "ada", "chatroom_id": "a b"}, "chatroom_id must be"},
				{obj{"user_id": "ada", "chatroom_id": strings.Repeat("x", 65)}, "chatroom_id must be"},
				{obj{"user_id": "a/b", "chatroom_id": "general"}, "user_id must be"},
				{obj{"user_id": strings.Repeat("x", 65), "chatroom_id": "general"}, "user_id must be"},
				{obj{"room": "é"}, "chatroom_id must be"},
				{"a b", "chatroom_id must be"},
			} {
				c.Emit("join", test.payload)
				name, data := hear(t, c)
				require.Equal(t, "error", name)
				require.Contains(t, data, test.says)
			}
			join(t, c, "ada", "the-fourth")
			c.Emit("join", obj{"user_id": "ada", "chatroom_id": "the-fifth"})
			name, data := hear(t, c)
			require.Equal(t, "error", name)
			require.Contains(t, data, "as many rooms as it takes")
			c.Emit("dance", obj{"with": "me"}) // an unknown event
			leave(t, c, "ada", "the-fourth")
			leave(t, c, "ada", "never-joined")
		})
	}
}

func TestTheFormsOfJoin(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	for _, w := range ways {
		room := "forms-" + w.name
		member := p.Join(t, room, "watcher")
		c, socketID := open(d, p, w)
		for name, test := range map[string]struct {
			payload any
			client  string
		}{
			"user_id and chatroom_id":     {obj{"user_id": "ada", "chatroom_id": room}, "ada"},
			"client_id and room_id":       {obj{"client_id": "bob", "room_id": room}, "bob"},
			"room":                        {obj{"room": room}, socketID},
			"room and client_id":          {obj{"room": room, "client_id": "cyd"}, "cyd"},
			"a string":                    {room, socketID},
			"with more than is read":      {obj{"user_id": "dee", "chatroom_id": room, "colour": "red", "n": []int{1}}, "dee"},
			"with a traceparent of sorts": {obj{"user_id": "eve", "chatroom_id": room, "traceparent": "hello"}, "eve"},
		} {
			t.Run(w.name+" "+name, func(t *testing.T) {
				said := fmt.Sprintf(`{"chatroom_id":%q}`, room)
				for _, verb := range []struct{ event, answer, told string }{{"join", "joined", "user_joined"}, {"leave", "left", "user_left"}} {
					c.Ask(verb.event, test.payload)
					hears(t, c, verb.answer, said)
					ack := c.Next()
					require.Equal(t, "ack", ack.Kind)
					require.Len(t, ack.Args, 1)
					require.JSONEq(t, said, string(ack.Args[0]), "the acknowledgement carries the same")
					_, f := member.UntilType(t, verb.told)
					require.Equal(t, test.client, f.ClientID)
					if verb.event == "join" {
						require.Equal(t, 2, f.Participants)
						require.Equal(t, 2, participants(t, p, room))
					}
				}
			})
		}
	}
}

func TestAfterLeaveNothingMoreComes(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	ada := register(t, p, "leaving-ada")
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			left, stays := chatroom(t, p, "Left"), chatroom(t, p, "Stays")
			c, _ := open(d, p, w)
			join(t, c, ada, left)
			join(t, c, ada, stays)
			hearsOf(t, c, post(t, p, obj{"message_text": "one", "user_id": ada, "chatroom_id": left}))
			leave(t, c, ada, left)
			other := p.Join(t, left, "other")
			say(t, other, "two")
			post(t, p, obj{"message_text": "three", "user_id": ada, "chatroom_id": left})
			other.Leave(t)
			p.Do(t, http.MethodDelete, "/rooms/"+left, nil)
			hearsOf(t, c, post(t, p, obj{"message_text": "four", "user_id": ada, "chatroom_id": stays}))
			require.Zero(t, len(c.Happenings))
		})
	}
}

func TestASocketMayBeInManyRooms(t *testing.T) {
	p := apptest.Shared(t)
	d := stockclient.Start(t)
	ada := register(t, p, "many-rooms-ada")
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			const n = 5
			c, socketID := open(d, p, w)
			var rooms []string
			var watchers []*apptest.Client
			for i := range n {
				room := chatroom(t, p, fmt.Sprint("Room ", i))
				rooms = append(rooms, room)
				watchers = append(watchers, p.Join(t, room, "watcher"))
				join(t, c, ada, room)
				join(t, c, ada, room) // joining again changes nothing
				watchers[i].UntilType(t, "user_joined")
				require.Equal(t, 2, participants(t, p, room))
			}
			for round := range 3 {
				for _, room := range rooms {
					hearsOf(t, c, post(t, p, obj{"message_text": fmt.Sprint(round), "user_id": ada, "chatroom_id": room}))
				}
			}
			// Joining one of them as another client makes the first leave.
			c.Emit("join", obj{"room": rooms[0]})
			hears(t, c, "joined", fmt.Sprintf(`{"chatroom_id":%q}`, rooms[0]))
			_, f := watchers[0].UntilType(t, "user_left")
			require.Equal(t, ada, f.ClientID)
			_, f = watchers[0].UntilType(t, "user_joined")
			require.Equal(t, socketID, f.ClientID)

			// When the connection ends, the socket leaves all rooms.
			c.Disconnect()
			for i, watcher := range watchers {
				_, f := watcher.UntilType(t, "user_left")
				require.Equal(t, 1, f.Participants)
				require.Equal(t, 1, participants(t, p, rooms[i]))
				if i > 0 {
					require.Equal(t, ada, f.ClientID)
				}
			}
		})
	}
}
