package engineio_test

import (
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// quick are options under which who is silent is soon timed out.
func quick() engineio.Options {
	return engineio.Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
}

// lively are options under which pings come soon, and pongs have time.
func lively() engineio.Options {
	return engineio.Options{PingInterval: 300 * time.Millisecond, PingTimeout: patience}
}

func TestPings(t *testing.T) {
	h := serve(t, lively())
	t.Run("polling", func(t *testing.T) {
		c := h.poll()
		for range 3 {
			require.Equal(t, "2", c.get().body)
			require.Equal(t, "ok", c.post("3").body)
		}
	})
	t.Run("websocket", func(t *testing.T) {
		s, _ := h.open()
		for range 3 {
			require.Equal(t, "2", s.read())
			s.write("3")
		}
	})
}

func TestASessionWithoutPongsTimesOut(t *testing.T) {
	h := serve(t, quick())
	t.Run("polling", func(t *testing.T) {
		c := h.poll()
		require.Equal(t, "2", c.get().body)
		require.Equal(t, "1", c.get().body, "a waiting poll is told")
		require.Equal(t, engineio.PingTimeout, h.end().reason)
		require.Equal(t, 400, c.get().status)
	})
	t.Run("polling that never polls", func(t *testing.T) {
		c := h.poll()
		require.Equal(t, engineio.PingTimeout, h.end().reason)
		require.Equal(t, 400, c.get().status)
	})
	t.Run("websocket", func(t *testing.T) {
		s, _ := h.open()
		s.closed()
		require.Equal(t, engineio.PingTimeout, h.end().reason)
	})
	t.Run("pongs that nobody asked for", func(t *testing.T) {
		s, _ := h.open()
		s.write("3")
		s.write("3")
		s.closed()
		require.Equal(t, engineio.PingTimeout, h.end().reason)
	})
}

func TestThePongOfAPollingPingMayComeOverTheWebSocket(t *testing.T) {
	h := serve(t, lively())
	c := h.poll()
	require.Equal(t, "2", c.get().body)
	s := c.upgraded()
	s.write("3")
	require.Equal(t, "2", s.read())
	s.write("3")
	require.Equal(t, "2", s.read())
	require.Empty(t, h.ended)
}

func TestAClientIsNotTimedOutWhileItsMessageIsHandled(t *testing.T) {
	inBubble(t, quick(), func(t *testing.T, h *host) {
		h.block = make(chan struct{})
		s, _ := h.open()
		s.write("4x")
		require.Equal(t, "2", s.read())
		go func() { _ = s.ws.WriteMessage(websocket.TextMessage, []byte("3")) }() // nobody reads it yet
		time.Sleep(time.Minute)
		require.Empty(t, h.ended)
		close(h.block)
		require.Equal(t, "4x", s.read())
		require.Equal(t, "2", s.read(), "the heartbeat goes on")
	})
}

func TestASessionsDeadline(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		h.open()
		h.open()
		h.session(0).SetDeadline(time.Now().Add(100 * time.Millisecond))
		h.session(1).SetDeadline(time.Now().Add(time.Second))
		h.session(1).SetDeadline(time.Time{})
		e := h.end()
		require.Equal(t, h.session(0).ID(), e.id)
		require.Equal(t, engineio.ForcedClose, e.reason)
		require.ErrorIs(t, e.err, engineio.ErrDeadline)
		time.Sleep(10 * time.Minute)
		require.Empty(t, h.ended, "a deadline that was taken away")
	})
}
