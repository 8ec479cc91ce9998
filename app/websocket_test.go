package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// say sends messages with these texts from c and waits until they are acknowledged.
func say(t *testing.T, c *apptest.Client, texts ...string) {
	t.Helper()
	for _, text := range texts {
		c.Say(t, text)
		c.UntilText(t, text)
	}
}

func numbered(prefix string, from, to int) []string {
	var texts []string
	for i := from; i <= to; i++ {
		texts = append(texts, fmt.Sprint(prefix, i))
	}
	return texts
}

func texts(frames []apptest.Frame) []string {
	list := make([]string, 0, len(frames))
	for _, f := range frames {
		list = append(list, f.Text)
	}
	return list
}

// seqs returns the numbers of the messages, which must be consecutive.
func seqs(t *testing.T, messages []apptest.Frame) string {
	t.Helper()
	for i, m := range messages {
		require.Equal(t, messages[0].Seq+int64(i), m.Seq, "a gap or a repeat")
		require.Equal(t, fmt.Sprint("m", m.Seq), m.Text)
	}
	return fmt.Sprintf("%d to %d", messages[0].Seq, messages[len(messages)-1].Seq)
}

func TestWhoJoinsIsShownTheLastHundredMessages(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "history", "ada")
	before := time.Now().UnixMilli()
	ada.Say(t, "m1")
	require.Equal(t, "message", ada.Next(t).Type, "no history in a new room")
	say(t, ada, numbered("m", 2, 3)...)

	bob := p.Join(t, "history", "bob")
	history := bob.Next(t)
	require.Equal(t, "history", history.Type)
	require.Equal(t, "history", history.RoomID)
	require.False(t, history.Truncated)
	require.Equal(t, []string{"m1", "m2", "m3"}, texts(history.Messages))
	for i, m := range history.Messages {
		require.Equal(t, "message", m.Type)
		require.Equal(t, "ada", m.ClientID)
		require.Equal(t, "history", m.RoomID)
		require.EqualValues(t, i+1, m.Seq)
		require.Len(t, m.ID, 36)
		require.GreaterOrEqual(t, m.Timestamp, before)
		require.LessOrEqual(t, m.Timestamp, time.Now().UnixMilli())
	}

	for _, text := range numbered("m", 4, 150) {
		ada.Say(t, text)
	}
	ada.UntilText(t, "m150")
	require.Equal(t, numbered("m", 51, 150), texts(p.Join(t, "history", "cyd").Next(t).Messages))
}

func TestWhoComesBackIsShownWhatItMissed(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "resume", "ada")
	for _, text := range numbered("m", 1, 1205) {
		ada.Say(t, text)
	}
	ada.UntilText(t, "m1205")

	for name, test := range map[string]struct {
		since     int64
		want      string // empty for no history
		truncated bool
	}{
		"the last few":                {1200, "1201 to 1205", false},
		"more than a history's":       {900, "901 to 1205", false},
		"as many as there may be":     {205, "206 to 1205", false},
		"more than there may be":      {204, "206 to 1205", true},
		"all":                         {0, "206 to 1205", true},
		"nothing":                     {1205, "", false},
		"beyond the end: as it joins": {1206, "1106 to 1205", false},
	} {
		t.Run(name, func(t *testing.T) {
			bob := p.Resume(t, "resume", "bob", test.since)
			bob.Send(t, "a mistake")
			before, _ := bob.UntilType(t, "error")
			if test.want == "" {
				require.Empty(t, before)
			} else {
				require.Equal(t, test.truncated, before[0].Truncated)
				require.Equal(t, test.want, seqs(t, apptest.Messages(before)))
				for i, f := range before {
					require.Equal(t, "history", f.Type)
					require.Equal(t, i < len(before)-1, f.More)
				}
			}
			bob.Leave(t)
		})
	}
	for _, bad := range []string{"-1", "x", "1.5", "99999999999999999999"} {
		_, res, err := p.Socket(apptest.Dial{Room: "resume", Client: "bob", Query: url.Values{"since": {bad}}})
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, http.StatusUnprocessableEntity, res.StatusCode)
	}
}

func TestOnlyTheSenderSeesItsRef(t *testing.T) {
	p := apptest.Shared(t)
	phone := p.Join(t, "refs", "ada")
	laptop := p.Join(t, "refs", "ada")
	bob := p.Join(t, "refs", "bob")
	phone.UntilType(t, "user_joined")
	laptop.UntilType(t, "user_joined")
	phone.Send(t, apptest.Message{Type: "message", Text: "<b>héllo</b> \"\\ 👋\u2028", Ref: `my "ref"`})
	for _, c := range []*apptest.Client{phone, laptop, bob} {
		f := c.Next(t)
		require.Equal(t, "message", f.Type)
		require.Equal(t, "<b>héllo</b> \"\\ 👋\u2028", f.Text)
		require.EqualValues(t, 1, f.Seq)
		if c == phone {
			require.Equal(t, `my "ref"`, f.Ref)
		} else {
			require.NotContains(t, f.Raw, `"ref"`)
		}
	}
	require.NotContains(t, p.Join(t, "refs", "cyd").Next(t).Raw, `"ref"`)
}

func TestOthersAreToldWhoTypesJoinsAndLeaves(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "lobby", "ada")
	ada2 := p.Join(t, "lobby", "ada")
	bob := p.Join(t, "lobby", "bob")
	for _, c := range []*apptest.Client{ada, ada2} {
		f := c.Next(t)
		require.JSONEq(t, `{"type":"user_joined","client_id":"bob","room_id":"lobby","participant_count":2}`, f.Raw)
	}
	ada.Send(t, `{"type":"typing"}`)
	require.JSONEq(t, `{"type":"typing","client_id":"ada","room_id":"lobby"}`, bob.Next(t).Raw)

	ada.Leave(t) // ada is still there
	say(t, bob, "one")
	require.Equal(t, "one", ada2.Next(t).Text, "nothing was said of ada's own typing and coming and going")
	ada2.Leave(t)
	require.JSONEq(t, `{"type":"user_left","client_id":"ada","room_id":"lobby","participant_count":1}`, bob.Next(t).Raw)

	ada = p.Join(t, "lobby", "ada")
	require.JSONEq(t, `{"type":"user_joined","client_id":"ada","room_id":"lobby","participant_count":2}`, bob.Next(t).Raw)
	ada.Drop() // without a close frame
	require.JSONEq(t, `{"type":"user_left","client_id":"ada","room_id":"lobby","participant_count":1}`, bob.Next(t).Raw)
	for _, c := range []*apptest.Client{ada, ada2} {
		for _, f := range c.Frames() {
			require.NotEqual(t, "ada", f.ClientID, f.Raw)
		}
	}
}

func TestAMistakeIsAnsweredAndTheConnectionLives(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "mistakes", "ada")
	bob := p.Join(t, "mistakes", "bob")
	ada.UntilType(t, "user_joined")
	message := func(text string) string {
		b, err := json.Marshal(map[string]string{"type": "message", "text": text, "ref": "r"})
		require.NoError(t, err)
		return string(b)
	}
	for name, test := range map[string]struct{ frame, code, ref string }{
		"no JSON":                {`{"type":`, "bad_json", ""},
		"an empty frame":         {"", "bad_json", ""},
		"an array":               {`["message"]`, "bad_json", ""},
		"null":                   {`null`, "unknown_type", ""},
		"a number as text":       {`{"type":"message","ref":"r","text":1}`, "invalid", "r"},
		"an unknown type":        {`{"type":"dance","ref":"r"}`, "unknown_type", "r"},
		"no type":                {`{"text":"hello"}`, "unknown_type", ""},
		"no text":                {`{"type":"message","ref":"r"}`, "empty_text", "r"},
		"an empty text":          {message(""), "empty_text", "r"},
		"a blank text":           {message(" \t\n"), "empty_text", "r"},
		"too long a text":        {message(strings.Repeat("x", 4097)), "text_too_long", "r"},
		"too many characters":    {message(strings.Repeat("é", 4097)), "text_too_long", "r"},
		"a zero character":       {`{"type":"message","text":"a\u0000b","ref":"r"}`, "invalid", "r"},
		"too long a ref":         {`{"type":"message","text":"x","ref":"` + strings.Repeat("r", 129) + `"}`, "invalid", ""},
		"an event of the server": {`{"type":"user_left","client_id":"bob"}`, "unknown_type", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ada.Send(t, test.frame)
			f := ada.Next(t)
			require.Equal(t, "error", f.Type, f.Raw)
			require.Equal(t, test.code, f.Code)
			require.NotEmpty(t, f.Detail)
			require.Equal(t, test.ref, f.Ref)
		})
	}
	longest := []string{strings.Repeat("x", 4096), strings.Repeat("é", 4096), strings.Repeat("👋", 4096)}
	say(t, ada, longest...)
	before, _ := bob.UntilText(t, longest[2])
	require.Equal(t, longest[:2], texts(before), "the others were told of no mistake, and of every text that may be")
}

func TestWhoSendsTooMuchIsToldSo(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--send-rate", "5"}})
	ada := p.Join(t, "lobby", "ada")
	bob := p.Join(t, "lobby", "bob")
	ada.UntilType(t, "user_joined")
	began := time.Now()
	for i := range 40 {
		ada.Send(t, apptest.Message{Type: "message", Text: fmt.Sprint("m", i), Ref: fmt.Sprint(i)})
	}
	var limited, sent int
	for range 40 {
		switch f := ada.Next(t); f.Type {
		case "error":
			require.Equal(t, "rate_limited", f.Code)
			require.NotEmpty(t, f.Ref, "which message it was")
			limited++
		case "message":
			sent++
		}
	}
	allowed := 20 + 1 + int(5*time.Since(began).Seconds()) // plus a burst of four seconds
	require.GreaterOrEqual(t, sent, 20)
	require.LessOrEqual(t, sent, allowed)
	require.Equal(t, 40, sent+limited)
	say(t, bob, "others are not") // delayed
	apptest.Eventually(t, "ada may speak again", func() bool {
		ada.Say(t, "again")
		_, f := ada.Until(t, func(f apptest.Frame) bool { return f.Text == "again" || f.Type == "error" })
		return f.Type == "message"
	})
}

func TestFramesThatCannotBeReadCloseTheConnection(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--max-frame", "2000"}})
	for name, test := range map[string]struct {
		kind  int
		frame string
		code  int
	}{
		"too large":    {websocket.TextMessage, strings.Repeat("x", 2001), 1009},
		"much larger":  {websocket.TextMessage, strings.Repeat("x", 900_000), 1009},
		"binary":       {websocket.BinaryMessage, `{"type":"message","text":"hello"}`, 1003},
		"broken UTF-8": {websocket.TextMessage, "{\"type\":\"message\",\"text\":\"\xc3\x28\"}", 1007},
	} {
		t.Run(name, func(t *testing.T) {
			bob := p.Join(t, "lobby", "bob")
			ada := p.Join(t, "lobby", "ada")
			bob.UntilType(t, "user_joined")
			_ = ada.WriteFrame(test.kind, []byte(test.frame)) // the server may close before it has all of it
			code, reason := ada.Closed(t)
			require.Equal(t, test.code, code, reason)
			_, left := bob.UntilType(t, "user_left")
			require.Equal(t, "ada", left.ClientID)
			bob.Leave(t)
		})
	}
	for why, n := range map[string]int{"message_too_big": 2, "unsupported_data": 1, "invalid_data": 1} {
		apptest.Eventually(t, "it is counted", func() bool {
			return p.Metrics(t)[`traceroom_disconnects_total{reason="`+why+`",transport="websocket"}`] == float64(n)
		})
	}
}

func TestADeletedRoomClosesItsMembers(t *testing.T) {
	p := apptest.Shared(t)
	ada, bob := p.Join(t, "gone", "ada"), p.Join(t, "gone", "bob")
	say(t, ada, "one", "two")
	res := p.Do(t, http.MethodDelete, "/rooms/gone", nil)
	require.Equal(t, http.StatusOK, res.Status)
	require.JSONEq(t, `{"message":"Room deleted successfully"}`, res.Body)
	for _, c := range []*apptest.Client{ada, bob} {
		_, f := c.UntilType(t, "room_deleted")
		require.JSONEq(t, `{"type":"room_deleted","room_id":"gone"}`, f.Raw)
		code, _ := c.Closed(t)
		require.Equal(t, 4001, code)
		require.Equal(t, f, c.Frames()[len(c.Frames())-1], "nothing comes after it")
	}
	require.Equal(t, http.StatusNotFound, p.Get(t, "/rooms/gone").Status)

	// Under the same id it starts over, whatever number the client remembers.
	ada = p.Resume(t, "gone", "ada", 2)
	say(t, ada, "new")
	require.True(t, ada.Frames()[0].Reset, "it is told so")
	require.EqualValues(t, 1, ada.Messages()[0].Seq)
	bob = p.Resume(t, "gone", "bob", 2)
	require.Equal(t, []string{"new"}, texts(bob.Next(t).Messages))
	var room struct {
		Participants int `json:"participant_count"`
	}
	p.Get(t, "/rooms/gone").JSON(t, &room)
	require.Equal(t, 2, room.Participants)
}

func TestBrowsersOfOtherOriginsAreRefused(t *testing.T) {
	p := apptest.Shared(t)
	dial := func(origin string) (*http.Response, error) {
		conn, res, err := p.Socket(apptest.Dial{Room: "origins", Client: "ada", Header: http.Header{"Origin": {origin}}})
		if conn != nil {
			conn.Close()
		}
		return res, err
	}
	_, err := dial("http://" + p.Addr)
	require.NoError(t, err)
	for _, origin := range []string{"http://evil.example", "null", "http://" + p.Addr + ".evil.example", "http://127.0.0.1"} {
		res, err := dial(origin)
		require.ErrorIs(t, err, websocket.ErrBadHandshake, origin)
		require.Equal(t, http.StatusForbidden, res.StatusCode)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	}
	require.Empty(t, p.Get(t, "/rooms", "Origin", "http://evil.example").Header.Get("Access-Control-Allow-Origin"))
}

func TestWhatCannotConnectIsToldWhy(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--max-connections", "2", "--max-rooms", "4"}})
	refused := func(room, client string) int {
		conn, res, err := p.Socket(apptest.Dial{Room: room, Client: client})
		if conn != nil {
			conn.Close()
		}
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
		return res.StatusCode
	}
	for _, id := range []string{"a%20b", "a%2Fb", "%C3%A9", strings.Repeat("x", 65), "a%00"} {
		require.Equal(t, http.StatusUnprocessableEntity, refused(id, "ada"), id)
		require.Equal(t, http.StatusUnprocessableEntity, refused("lobby", id), id)
	}
	longest := strings.Repeat("x", 64)
	ada := p.Join(t, longest, "a-B.0_")
	say(t, ada, "hello")
	bob := p.Join(t, "one-room-too-many", "bob")
	require.Equal(t, "error", bob.Next(t).Type)
	code, reason := bob.Closed(t)
	require.Equal(t, 4003, code)
	require.Contains(t, reason, "as many rooms as it takes")
	apptest.Eventually(t, "bob's place is free again", func() bool {
		conn, _, err := p.Socket(apptest.Dial{Room: "general", Client: "cyd"})
		if err != nil {
			return false
		}
		defer conn.Close()
		require.Equal(t, http.StatusServiceUnavailable, refused("general", "dee"))
		return true
	})
	apptest.Eventually(t, "there is a place again", func() bool {
		return p.Get(t, "/ws/general/ada").Status == http.StatusBadRequest // not a WebSocket handshake
	})
}

func TestAClientThatPingsIsAnsweredAndStays(t *testing.T) {
	p := apptest.Shared(t)
	conn, _, err := p.Socket(apptest.Dial{Room: "pings", Client: "ada"})
	require.NoError(t, err)
	defer conn.Close()
	pongs := make(chan string, 1)
	conn.SetPongHandler(func(data string) error { pongs <- data; return nil })
	frames := make(chan error, 8)
	go func() {
		defer close(frames)
		for {
			_, p, err := conn.ReadMessage()
			if err == nil && strings.Contains(string(p), `"history"`) {
				continue // the first frame
			}
			frames <- err
			if err != nil {
				return
			}
		}
	}()
	require.NoError(t, conn.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(apptest.Patience)))
	require.Equal(t, "are you there?", <-pongs)
	// Long enough for a time limit on the answer to run out.
	later := time.NewTimer(1500 * time.Millisecond)
	select {
	case <-later.C:
	case err := <-frames:
		t.Fatal(err)
	}
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"message","text":"still here"}`)))
	require.NoError(t, <-frames)
	conn.Close()
	require.Error(t, <-frames)
}

// On a pong the server does its housekeeping for a quiet connection.
func TestNothingIsLostAroundAPong(t *testing.T) {
	p := apptest.Shared(t)
	ada := p.Join(t, "pongs", "ada")
	bob := p.Join(t, "pongs", "bob")
	pong := []byte{0x8a, 0x80, 0, 0, 0, 0}
	for i := range 50 {
		before, after := fmt.Sprint("before ", i), fmt.Sprint("after ", i)
		ada.Say(t, before)
		_, err := ada.NetConn().Write(pong)
		require.NoError(t, err)
		ada.Say(t, after)
		_, m := bob.UntilType(t, "message")
		require.Equal(t, before, m.Text)
		_, m = bob.UntilType(t, "message")
		require.Equal(t, after, m.Text)
	}
	_, err := ada.NetConn().Write(pong)
	require.NoError(t, err)
	ada.Drop()
	_, left := bob.UntilType(t, "user_left")
	require.Equal(t, "ada", left.ClientID)
}

func TestWhoAnswersNoPingIsDroppedAfterTwoIntervals(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--ping-interval", "500ms"}})
	bob := p.Join(t, "lobby", "bob")
	silent, _, err := p.Socket(apptest.Dial{Room: "lobby", Client: "ada"})
	require.NoError(t, err)
	defer silent.Close()
	pings := 0
	silent.SetPingHandler(func(string) error { pings++; return nil })
	require.NoError(t, silent.SetReadDeadline(time.Now().Add(apptest.Patience)))
	for err == nil {
		_, _, err = silent.ReadMessage()
	}
	require.True(t, websocket.IsCloseError(err, 1006), err)
	require.Equal(t, 2, pings, "one for each interval")
	bob.UntilType(t, "user_joined")
	_, left := bob.UntilType(t, "user_left")
	require.Equal(t, "ada", left.ClientID)
	require.Equal(t, 1, left.Participants)
	apptest.Eventually(t, "it is counted", func() bool {
		return p.Metrics(t)[`traceroom_disconnects_total{reason="connection_lost",transport="websocket"}`] == 1
	})
	say(t, bob, "who answers stays")
}

func TestWhoDoesNotReadIsDroppedAndLosesNothing(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--queue-length", "64"}})
	fast := p.Join(t, "lobby", "fast")
	say(t, fast, "first")
	slow, _, err := p.Socket(apptest.Dial{Room: "lobby", Client: "slow"})
	require.NoError(t, err)
	defer slow.Close()
	fast.UntilType(t, "user_joined")

	// The peer does not read: the messages fill the system's buffers and then the queue. The others still get all messages at
	// once.
	text := strings.Repeat("👋", 4000)
	sent := 1
	for p.Metrics(t)[`traceroom_dropped_total{reason="slow"}`] == 0 {
		for range 40 {
			sent++
			fast.Say(t, fmt.Sprint(text, sent))
		}
		fast.UntilText(t, fmt.Sprint(text, sent))
		require.Less(t, sent, 5000, "the queue does not fill")
	}
	// Now it reads: all frames are complete and in order, and the close code says to reconnect.
	seq := int64(0)
	var closed *websocket.CloseError
	require.NoError(t, slow.SetReadDeadline(time.Now().Add(apptest.Patience)))
	for {
		var f apptest.Frame
		if err := slow.ReadJSON(&f); err != nil {
			require.ErrorAs(t, err, &closed)
			break
		}
		for _, m := range apptest.Messages([]apptest.Frame{f}) {
			require.Equal(t, seq+1, m.Seq)
			seq = m.Seq
		}
	}
	require.Equal(t, 4008, closed.Code)
	slow.Close()
	_, left := fast.UntilType(t, "user_left")
	require.Equal(t, "slow", left.ClientID)
	require.Less(t, seq, int64(sent))

	back := p.Resume(t, "lobby", "slow", seq)
	say(t, back, "last")
	for _, m := range back.Messages() {
		if m.Seq > seq {
			require.Equal(t, seq+1, m.Seq)
			seq = m.Seq
		}
	}
	require.EqualValues(t, sent+1, seq)
	require.EqualValues(t, 1, p.Metrics(t)[`traceroom_disconnects_total{reason="too_slow",transport="websocket"}`])
}

func TestWhoClosesLeavesAtOnce(t *testing.T) {
	p := apptest.Shared(t)
	bob := p.Join(t, "closes", "bob")
	for name, payload := range map[string][]byte{
		"without a code": nil,
		"normally":       websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye"),
		"with a code":    websocket.FormatCloseMessage(4999, ""),
	} {
		t.Run(name, func(t *testing.T) {
			ada := p.Join(t, "closes", "ada/") // a trailing slash makes no difference
			bob.UntilType(t, "user_joined")
			require.NoError(t, ada.WriteFrame(websocket.CloseMessage, payload))
			bob.UntilType(t, "user_left")
			ada.Closed(t)
		})
	}
}

func TestWhoBreaksTheProtocolIsClosedWith1002(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada := p.Join(t, "lobby", "ada")
	_, err := ada.NetConn().Write([]byte{0x83, 0x80, 0, 0, 0, 0}) // an unknown opcode
	require.NoError(t, err)
	code, _ := ada.Closed(t)
	require.Equal(t, 1002, code)
	ada.Drop()
	apptest.Eventually(t, "it is counted", func() bool {
		return p.Metrics(t)[`traceroom_disconnects_total{reason="protocol_error",transport="websocket"}`] == 1
	})
}
