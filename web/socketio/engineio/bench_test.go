package engineio_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/outbox"
	"github.com/traceroom/traceroom/web/socketio/engineio"
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

// BenchmarkFanOut is one message to 200 members: the cost of a session over that of the bare queue that it writes to.
func BenchmarkFanOut(b *testing.B) {
	run := func(b *testing.B, push [members]func(outbox.Item) bool, received *atomic.Int64) {
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

	b.Run("queues", func(b *testing.B) {
		var received atomic.Int64
		pool := outbox.NewPool(2)
		defer pool.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		var push [members]func(outbox.Item) bool
		var readers sync.WaitGroup
		defer readers.Wait()
		for i := range push {
			client, err := net.Dial("tcp", l.Addr().String())
			require.NoError(b, err)
			server, err := l.Accept()
			require.NoError(b, err)
			q := outbox.New(pool, "", server, &outbox.Limits{Items: 256})
			defer q.Close()
			readers.Go(func() { count(&received, client); client.Close() })
			push[i] = q.Push
		}
		run(b, push, &received)
	})
	b.Run("sessions", func(b *testing.B) {
		var received atomic.Int64
		h := serve(b, calm())
		var push [members]func(outbox.Item) bool
		for i := range push {
			ws, _, err := websocket.DefaultDialer.Dial("ws"+h.http.URL[4:]+"/engine.io/?EIO=4&transport=websocket", nil)
			require.NoError(b, err)
			_, _, err = ws.ReadMessage()
			require.NoError(b, err)
			go count(&received, ws.NetConn())
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
