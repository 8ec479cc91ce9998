package engineio_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestWebSocketEchoesMessages(t *testing.T) {
	h := serve(t, calm())
	s, _ := h.open()
	for _, text := range []string{"4hello", "4", "4" + strings.Repeat("x", 70_000)} {
		s.write(text)
		require.Equal(t, text, s.read())
	}
	require.NoError(t, s.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3, 0xff}))
	kind, b, err := s.ws.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.BinaryMessage, kind)
	require.Equal(t, []byte{1, 2, 3, 0xff}, b)
	s.write("bAQID")
	require.Equal(t, "\x01\x02\x03", s.read())
	require.Equal(t, engineio.WebSocket, h.session(0).Transport())
}

func TestMalformedWebSocketMessagesEndTheOneSession(t *testing.T) {
	h := serve(t, calm())
	other, _ := h.open()
	for text, code := range map[string]int{
		"abc":   websocket.CloseProtocolError,
		"":      websocket.CloseProtocolError,
		"9":     websocket.CloseProtocolError,
		"b?":    websocket.CloseProtocolError,
		"4\xff": websocket.CloseInvalidFramePayloadData,
	} {
		s, id := h.open()
		s.write(text)
		require.Equal(t, code, s.closed(), "%q", text)
		e := h.end()
		require.Equal(t, id, e.id)
		require.Equal(t, engineio.ParseError, e.reason)
	}
	other.write("4here")
	require.Equal(t, "4here", other.read())
}

func TestAWebSocketMessageOfOverTheLimit(t *testing.T) {
	opts := calm()
	opts.MaxPayload = 1000
	h := serve(t, opts)
	s, _ := h.open()
	s.write("4" + strings.Repeat("x", 999))
	require.Len(t, s.read(), 1000)
	s.write("4" + strings.Repeat("x", 1000))
	require.Equal(t, websocket.CloseMessageTooBig, s.closed())
	require.Equal(t, engineio.TransportError, h.end().reason)
}

func TestTheCloseReasonsOfAWebSocket(t *testing.T) {
	h := serve(t, calm())
	t.Run("close packet", func(t *testing.T) {
		s, _ := h.open()
		s.write("1")
		require.Equal(t, websocket.CloseNormalClosure, s.closed())
		require.Equal(t, engineio.TransportClose, h.end().reason)
	})
	t.Run("close frame", func(t *testing.T) {
		s, _ := h.open()
		require.NoError(t, s.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, "")))
		require.Equal(t, 1001, s.closed(), "not echoed")
		require.Equal(t, engineio.TransportClose, h.end().reason)
	})
	t.Run("connection cut", func(t *testing.T) {
		s, _ := h.open()
		require.NoError(t, s.ws.NetConn().Close())
		require.Equal(t, engineio.TransportClose, h.end().reason)
	})
	t.Run("broken frame", func(t *testing.T) {
		s, _ := h.open()
		_, err := s.ws.NetConn().Write([]byte{0xff, 0xff, 0xff, 0xff})
		require.NoError(t, err)
		require.Equal(t, websocket.CloseProtocolError, s.closed())
		require.Equal(t, engineio.TransportError, h.end().reason)
	})
	t.Run("ping packet", func(t *testing.T) {
		s, _ := h.open()
		s.write("2")
		require.Equal(t, websocket.CloseProtocolError, s.closed())
		require.Equal(t, engineio.TransportError, h.end().reason)
	})
	t.Run("closed by the server", func(t *testing.T) {
		s, id := h.open()
		session := h.byID(id)
		require.True(t, session.Send([]byte("last")))
		session.Close(engineio.ForcedClose)
		require.False(t, session.Send([]byte("too late")))
		require.Equal(t, "4last", s.read())
		require.Equal(t, websocket.CloseNormalClosure, s.closed())
		require.Equal(t, engineio.ForcedClose, h.end().reason)
	})
	require.Eventually(t, func() bool { return h.eio.Len() == 0 }, patience, time.Millisecond)
}

func TestWebSocketPingsAreAnswered(t *testing.T) {
	h := serve(t, calm())
	s, _ := h.open()
	pong := make(chan string, 1)
	s.ws.SetPongHandler(func(data string) error {
		pong <- data
		return nil
	})
	require.NoError(t, s.ws.WriteMessage(websocket.PingMessage, []byte("are you there")))
	s.write("4x")
	require.Equal(t, "4x", s.read())
	require.Equal(t, "are you there", <-pong)
}

func TestAWebSocketClientsQueueIsBounded(t *testing.T) {
	opts := calm()
	opts.QueueLimit, opts.QueueBytes = 20, 1<<30
	h := serve(t, opts)
	s, _ := h.open()
	session := h.session(0)
	big := make([]byte, 1<<20)
	n := 0
	for session.SendBinary(big) {
		n++
		require.Less(t, n, 1000, "the queue has no bound")
	}
	// Pings of a client that does not read fill nothing either.
	var pongs []string
	s.ws.SetPongHandler(func(data string) error {
		pongs = append(pongs, data)
		return nil
	})
	for i := range 1000 {
		require.NoError(t, s.ws.WriteMessage(websocket.PingMessage, []byte(fmt.Sprint(i))))
	}
	s.write("4all pings are read")
	require.Equal(t, "all pings are read", <-h.got)
	for range n {
		require.Len(t, s.read(), 1<<20)
	}
	require.Eventually(t, func() bool { return session.Send([]byte("again")) }, patience, time.Millisecond)
	require.Equal(t, "4again", s.read())
	require.LessOrEqual(t, len(pongs), 40)
	require.Equal(t, "999", pongs[len(pongs)-1], "the newest ping has to be answered")
}

func TestAFloodIsNotReadFasterThanItIsHandled(t *testing.T) {
	h := serve(t, calm())
	h.block = make(chan struct{})
	s, _ := h.open()
	frame := []byte("4" + strings.Repeat("x", 1<<16))
	require.NoError(t, s.ws.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
	sent := 0
	for ; sent < 10_000; sent++ {
		if err := s.ws.WriteMessage(websocket.TextMessage, frame); err != nil {
			break
		}
	}
	require.Less(t, sent, 10_000, "the server read all of it into memory")
	close(h.block)
}

func TestAWebSocketClientThatTakesNothingIsSentAway(t *testing.T) {
	opts := calm()
	opts.StallTimeout = 50 * time.Millisecond
	h := serve(t, opts)
	_, id := h.open()
	require.True(t, h.byID(id).Send(make([]byte, 32<<20)))
	e := h.end()
	require.Equal(t, id, e.id)
	require.Equal(t, engineio.TooSlow, e.reason)
}
