package web

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/web/ws"
)

// requireFrame sees to it that p is one text frame of JSON, as RFC 6455 has it, and returns what is in it.
func requireFrame(t testing.TB, p []byte) map[string]any {
	t.Helper()
	payloads := read(t, p)
	require.Len(t, payloads, 1)
	var v map[string]any
	require.NoErrorf(t, json.Unmarshal(payloads[0], &v), "%q", payloads[0])
	return v
}

// read reads unmasked final text frames.
func read(t testing.TB, p []byte) (payloads [][]byte) {
	t.Helper()
	for len(p) > 0 {
		require.GreaterOrEqual(t, len(p), 2)
		require.EqualValues(t, 0x81, p[0], "a final text frame")
		n, head := int(p[1]), 2
		switch n {
		case 126:
			n, head = int(p[2])<<8|int(p[3]), 4
			require.GreaterOrEqual(t, n, 126, "the shortest form")
		case 127:
			n, head = 0, 10
			for _, b := range p[2:10] {
				n = n<<8 | int(b)
			}
			require.GreaterOrEqual(t, n, 1<<16, "the shortest form")
		}
		require.GreaterOrEqual(t, len(p), head+n)
		payloads = append(payloads, p[head:head+n])
		require.True(t, utf8.Valid(p[head:head+n]))
		p = p[head+n:]
	}
	return payloads
}

func TestFrameHeadersAtTheirBorders(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
		payload := bytes.Repeat([]byte("x"), n)
		for _, before := range []string{"", "what was there"} {
			dst, at := ws.BeginFrame([]byte(before))
			got := ws.EndFrame(append(dst, payload...), at, ws.Text)
			require.Equal(t, before, string(got[:len(before)]))
			require.Equal(t, [][]byte{payload}, read(t, got[len(before):]))
		}
	}
	// And as another implementation reads them.
	var stream []byte
	var want []string
	for _, n := range []int{100, 125, 126, 65535, 65536} {
		dst, at := ws.BeginFrame(stream)
		want = append(want, strings.Repeat("y", n))
		stream = ws.EndFrame(append(dst, want[len(want)-1]...), at, ws.Text)
	}
	conn := websocketOver(t, ws.Status{Code: 4008, Reason: "too slow"}.AppendFrame(stream))
	for _, w := range want {
		_, got, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, w, string(got))
	}
	_, _, err := conn.ReadMessage()
	require.Equal(t, &websocket.CloseError{Code: 4008, Text: "too slow"}, err)
}

// websocketOver is a client's connection from which stream can be read.
func websocketOver(t *testing.T, stream []byte) *websocket.Conn {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() { server.Close(); client.Close() })
	go func() {
		req, err := http.ReadRequest(bufio.NewReader(server))
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		_, _ = fmt.Fprintf(server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = server.Write(stream)
		_, _ = io.Copy(io.Discard, server)
	}()
	dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return client, nil }}
	conn, res, err := dialer.Dial("ws://localhost/", nil)
	require.NoError(t, err)
	_ = res.Body.Close()
	return conn
}

func TestEveryEventIsJSONAsTheContractHasIt(t *testing.T) {
	at := time.UnixMilli(1635789012345)
	m := &rooms.Message{ID: "0190", RoomID: "general", Seq: 42, ClientID: "user123", Text: "Hello!", CreatedAt: at}
	reply := &rooms.Message{ID: "0191", RoomID: "general", Seq: 43, ClientID: "bob", Text: "\"<\\>\u2028\x7f\x01\n👋", CreatedAt: at, IsReply: true, ParentID: "0190",
		Trace: rooms.TraceContext{Parent: "00-a-b-01", State: "v=1"}}
	const first = `{"type":"message","client_id":"user123","text":"Hello!","room_id":"general","timestamp":1635789012345,"seq":42,"id":"0190"}`
	const second = `{"type":"message","client_id":"bob","text":"\"<\\>\u2028\u007f\u0001\n👋","room_id":"general","timestamp":1635789012345,"seq":43,"id":"0191","is_reply":true,"parent_message_id":"0190","traceparent":"00-a-b-01","tracestate":"v=1"}`
	for name, test := range map[string]struct {
		ev   rooms.Event
		ref  string
		want string
	}{
		"message": {rooms.Event{Kind: rooms.EventMessage, RoomID: "general", Message: m, Trace: rooms.TraceContext{Parent: "00-…"}}, "",
			strings.TrimSuffix(first, "}") + `,"traceparent":"00-…"}`},
		"message to its sender": {rooms.Event{Kind: rooms.EventMessage, RoomID: "general", Message: m}, `r"1`, strings.TrimSuffix(first, "}") + `,"ref":"r\"1"}`},
		"typing":                {rooms.Event{Kind: rooms.EventTyping, RoomID: "general", ClientID: "bob", Participants: 3}, "", `{"type":"typing","client_id":"bob","room_id":"general"}`},
		"joined":                {rooms.Event{Kind: rooms.EventJoined, RoomID: "general", ClientID: "bob", Participants: 5}, "", `{"type":"user_joined","client_id":"bob","room_id":"general","participant_count":5}`},
		"left":                  {rooms.Event{Kind: rooms.EventLeft, RoomID: "general", ClientID: "bob"}, "", `{"type":"user_left","client_id":"bob","room_id":"general","participant_count":0}`},
		"deleted":               {rooms.Event{Kind: rooms.EventRoomDeleted, RoomID: "general"}, "", `{"type":"room_deleted","room_id":"general"}`},
		"history":               {rooms.Event{Kind: rooms.EventHistory, RoomID: "general", History: []*rooms.Message{m, reply}, Epoch: "a.1"}, "", `{"type":"history","room_id":"general","messages":[` + first + "," + second + `],"epoch":"a.1"}`},
		"truncated":             {rooms.Event{Kind: rooms.EventHistory, RoomID: "general", History: []*rooms.Message{m}, Epoch: "a.1", Truncated: true}, "", `{"type":"history","room_id":"general","messages":[` + first + `],"epoch":"a.1","truncated":true}`},
		"reset":                 {rooms.Event{Kind: rooms.EventHistory, RoomID: "general", History: []*rooms.Message{m}, Epoch: "a.1", Reset: true}, "", `{"type":"history","room_id":"general","messages":[` + first + `],"epoch":"a.1","reset":true}`},
		"a part":                {rooms.Event{Kind: rooms.EventHistory, RoomID: "general", History: []*rooms.Message{m}, Epoch: "a.1", More: true}, "", `{"type":"history","room_id":"general","messages":[` + first + `],"epoch":"a.1","more":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			payloads := read(t, wire{}.Append(nil, &test.ev, test.ref))
			require.Len(t, payloads, 1)
			require.JSONEq(t, test.want, string(payloads[0]))
		})
	}
	require.Equal(t, map[string]any{"type": "error", "code": "rate_limited", "detail": "x", "ref": "r"}, requireFrame(t, appendError(nil, codeRateLimited, "x", "r")))
	require.Equal(t, map[string]any{"type": "error", "code": "bad_json", "detail": "x"}, requireFrame(t, appendError(nil, codeBadJSON, "x", "")))
}

func TestSeveralEventsStandBehindEachOther(t *testing.T) {
	var p []byte
	for i := range 5 {
		text := strings.Repeat("é", 1<<(4*i))
		p = wire{}.Append(p, &rooms.Event{Kind: rooms.EventMessage, Message: &rooms.Message{Text: text, Seq: int64(i)}}, "")
	}
	for i, payload := range read(t, p) {
		require.Contains(t, string(payload), fmt.Sprintf(`"seq":%d,`, i))
	}
}

func TestCloseReasonsFitIntoTheirFrames(t *testing.T) {
	for _, c := range []ws.Status{closeGoingAway, closeUnsupported, closeNotUTF8, closeTooBig, closeFault, closeRoomDeleted, closeNotAllowed, closeSlow} {
		p := c.AppendFrame(nil)
		require.EqualValues(t, 0x88, p[0])
		require.Less(t, int(p[1]), 126, "RFC 6455 section 5.5: control frames are short")
		require.Len(t, p, 2+int(p[1]))
	}
	long := ws.Status{Code: 4003, Reason: strings.Repeat("é", 200)}.AppendFrame(nil)
	require.Less(t, len(long), 128)
	require.True(t, utf8.Valid(long[4:]), "and not cut within a character")
}

func FuzzWireKeepsWhatWasSaid(f *testing.F) {
	f.Add("hello", "r", "00-a-b-01")
	f.Add("\x00\u2028\"\\/<>&\x7f", "\"", "")
	f.Fuzz(func(t *testing.T, text, ref, trace string) {
		if !utf8.ValidString(text) || !utf8.ValidString(ref) || !utf8.ValidString(trace) {
			return // is not let in
		}
		v := requireFrame(t, wire{}.Append(nil, &rooms.Event{Kind: rooms.EventMessage, Message: &rooms.Message{Text: text}, Trace: rooms.TraceContext{Parent: trace}}, ref))
		require.Equal(t, text, v["text"])
		if ref != "" {
			require.Equal(t, ref, v["ref"])
		}
		if trace != "" {
			require.Equal(t, trace, v["traceparent"])
		}
	})
}
