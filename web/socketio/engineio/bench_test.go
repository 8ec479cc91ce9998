package engineio_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// shared is an item that many get, and that tells when all have.
type shared struct {
	p    []byte
	wait *sync.WaitGroup
}

func (s *shared) Bytes() []byte     { return s.p }
func (s *shared) Len() int          { return 1 }
func (s *shared) Late(string)       {}
func (s *shared) Done(string, bool) { s.wait.Done() }

const members = 200

// deaf is a Handler of a connection on which nothing is said.
type deaf struct{}

func (deaf) Message(ws.Op, []byte) error { return nil }
func (deaf) Ended(ws.Status, error)      {}

// BenchmarkFanOut is one message to 200 members: the cost of a session over that of the bare connection that it writes to.
func BenchmarkFanOut(b *testing.B) {
	run := func(b *testing.B, push [members]func(engineio.Item) bool, received *atomic.Int64) {
		var wait sync.WaitGroup
		it := &shared{p: engineio.AppendMessage(nil, make([]byte, 100)), wait: &wait}
		before := received.Load()
		b.ReportAllocs()
		for b.Loop() {
			wait.Add(members)
			for _, p := range push {
				if !p(it) {
					b.Fatal("full")
				}
			}
			wait.Wait()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/members, "ns/delivery")
		for received.Load()-before < int64(b.N)*members*int64(len(it.p)) {
		}
	}
	count := func(received *atomic.Int64, r io.Reader) {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			received.Add(int64(n))
			if err != nil {
				return
			}
		}
	}

	b.Run("connections", func(b *testing.B) {
		var received atomic.Int64
		pool := workers.NewPool(2, time.Second)
		defer pool.Close()
		group := ws.NewGroup(pool, ws.Options{Limits: ws.Limits{Items: 256}, MaxMessage: 1 << 10, Linger: time.Second})
		opened := make(chan *ws.Conn)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := group.Upgrade(w, r, ""); err == nil {
				c.Start(deaf{})
				opened <- c
			}
		}))
		defer srv.Close()
		defer func() { group.Close(ws.Status{}); group.HangUp(); _ = group.Wait(context.Background()) }()
		var push [members]func(engineio.Item) bool
		for i := range push {
			client, _, err := websocket.DefaultDialer.Dial("ws"+srv.URL[4:], nil)
			require.NoError(b, err)
			defer client.Close()
			c := <-opened
			go count(&received, client.NetConn())
			push[i] = func(it engineio.Item) bool { return c.Push(it) }
		}
		run(b, push, &received)
	})
	b.Run("sessions", func(b *testing.B) {
		var received atomic.Int64
		h := serve(b, calm())
		var push [members]func(engineio.Item) bool
		for i := range push {
			client, _, err := websocket.DefaultDialer.Dial("ws"+h.http.URL[4:]+"/engine.io/?EIO=4&transport=websocket", nil)
			require.NoError(b, err)
			_, _, err = client.ReadMessage()
			require.NoError(b, err)
			go count(&received, client.NetConn())
			push[i] = h.session(i).Push
		}
		run(b, push, &received)
	})
}

func BenchmarkReceive(b *testing.B) {
	h := serve(b, calm())
	ws, _, err := websocket.DefaultDialer.Dial("ws"+h.http.URL[4:]+"/engine.io/?EIO=4&transport=websocket", nil)
	require.NoError(b, err)
	defer ws.Close()
	message := append([]byte("4"), make([]byte, 100)...)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, ws.WriteMessage(websocket.TextMessage, message))
		_, _, err := ws.ReadMessage()
		require.NoError(b, err)
	}
}
