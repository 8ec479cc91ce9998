//go:build !race

package ws_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// deep is a Handler that needs much stack for a message.
type deep struct{ ended chan struct{} }

func (h deep) Message(ws.Op, []byte) error { _ = descend(64); return nil }
func (h deep) Ended(ws.Status, error)      { h.ended <- struct{}{} }

//go:noinline
func descend(n int) (sum byte) {
	var frame [256]byte
	frame[n] = byte(n)
	if n > 0 {
		sum = descend(n - 1)
	}
	return sum + frame[n]
}

// A connection that has been busy, and is quiet now, has as small a stack as one on which nothing was ever said.
func TestAQuietConnectionHasASmallStack(t *testing.T) {
	const conns, most = 400, 700 // bytes of stack each, over what it was
	pool := workers.NewPool(1, time.Second)
	defer pool.Close()
	group := ws.NewGroup(pool, ws.Options{MaxMessage: limit, Linger: time.Second})
	h := deep{make(chan struct{}, conns)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := group.Upgrade(w, r, "")
		if err != nil {
			t.Error(err)
			return
		}
		c.Start(h)
	}))
	defer srv.Close()
	var clients []*websocket.Conn
	for range conns {
		c, _, err := websocket.DefaultDialer.Dial("ws"+srv.URL[4:], nil)
		require.NoError(t, err)
		clients = append(clients, c)
	}
	stack := func() int64 {
		for range 4 { // each halves the stacks that are mostly empty
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.StackInuse)
	}
	before := stack()
	for _, c := range clients {
		require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("x")))
	}
	time.Sleep(100 * time.Millisecond)
	busy := (stack() - before) / conns
	for _, c := range clients {
		require.NoError(t, c.WriteMessage(websocket.PongMessage, nil))
	}
	require.Eventually(t, func() bool { return (stack()-before)/conns < most }, 10*time.Second, 50*time.Millisecond)
	t.Logf("%d bytes of stack a connection more after a message, %d after a pong behind it", busy, (stack()-before)/conns)
	for _, c := range clients {
		c.Close()
		<-h.ended
	}
	group.Close(ws.Status{})
	require.NoError(t, group.Wait(context.Background()))
}
