package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// calm are options under which no heartbeat comes between.
func calm() socketio.Options {
	return socketio.Options{Options: engineio.Options{PingInterval: time.Hour, PingTimeout: time.Minute, QueueLimit: 4096}}
}

// host is a server under test.
type host struct {
	t      *testing.T
	io     *socketio.Server
	url    string
	opened chan *socketio.Socket
	ended  chan end
	stop   func()
}

// end says that the socket with this id has disconnected.
type end struct {
	id     string
	reason socketio.Reason
}

// serve starts a server with the namespaces / and /custom, which tell what they are told: message is answered with
// message-back, and message-with-ack with its acknowledgement.
func serve(t *testing.T, opts socketio.Options, also ...func(*socketio.Server)) *host {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return serveOn(t, l, opts, also...)
}

func serveOn(t *testing.T, l net.Listener, opts socketio.Options, also ...func(*socketio.Server)) *host {
	t.Helper()
	h := &host{t: t, io: socketio.NewServer(opts), opened: make(chan *socketio.Socket, 1000), ended: make(chan end, 1000)}
	for _, name := range []string{"/", "/custom"} {
		n := h.io.Of(name)
		n.OnConnect(func(_ context.Context, s *socketio.Socket) { h.opened <- s })
		n.OnDisconnect(func(_ context.Context, s *socketio.Socket, reason socketio.Reason) { h.ended <- end{s.ID(), reason} })
		n.On("message", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) {
			if err := s.Emit("message-back", ev.Args); err != nil {
				t.Errorf("message-back: %v", err)
			}
		})
		n.On("message-with-ack", func(_ context.Context, _ *socketio.Socket, ev *socketio.Event) {
			if err := ev.Ack(ev.Args); err != nil {
				t.Errorf("ack: %v", err)
			}
		})
	}
	for _, f := range also {
		f(h.io)
	}
	srv := httptest.NewUnstartedServer(h.io)
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	h.url = srv.URL
	done := false
	h.stop = func() {
		if done {
			return
		}
		done = true
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		if err := h.io.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, engineio.ErrClosed) {
			t.Errorf("close: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
	}
	t.Cleanup(h.stop)
	return h
}

func (h *host) socket() *socketio.Socket {
	h.t.Helper()
	select {
	case s := <-h.opened:
		return s
	case <-time.After(patience):
		require.FailNow(h.t, "nobody connected")
		return nil
	}
}

func (h *host) end() end {
	h.t.Helper()
	select {
	case e := <-h.ended:
		return e
	case <-time.After(patience):
		require.FailNow(h.t, "nobody disconnected")
		return end{}
	}
}

// raw is a WebSocket client that speaks the protocol by hand.
type raw struct {
	t  *testing.T
	ws *websocket.Conn
}

// dial shakes hands for Engine.IO only.
func (h *host) dial() raw {
	h.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/socket.io/?EIO=4&transport=websocket", nil)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { ws.Close() })
	r := raw{h.t, ws}
	require.Equal(h.t, "0", r.read()[:1])
	return r
}

// connect connects to the main namespace too.
func (h *host) connect() (raw, *socketio.Socket) {
	h.t.Helper()
	r := h.dial()
	r.write("40")
	require.Equal(h.t, "40{", r.read()[:3])
	return r, h.socket()
}

func (r raw) read() string {
	r.t.Helper()
	require.NoError(r.t, r.ws.SetReadDeadline(time.Now().Add(patience)))
	_, b, err := r.ws.ReadMessage()
	require.NoError(r.t, err)
	return string(b)
}

func (r raw) write(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		require.NoError(r.t, r.ws.WriteMessage(websocket.TextMessage, []byte(text)))
	}
}

func (r raw) writeBinary(b ...byte) {
	r.t.Helper()
	require.NoError(r.t, r.ws.WriteMessage(websocket.BinaryMessage, b))
}

// closed reads until the server closes, and returns the close code.
func (r raw) closed() int {
	r.t.Helper()
	require.NoError(r.t, r.ws.SetReadDeadline(time.Now().Add(patience)))
	for {
		_, _, err := r.ws.ReadMessage()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		require.ErrorAs(r.t, err, &ce)
		return ce.Code
	}
}

func sidOf(t *testing.T, packet, prefix string) string {
	t.Helper()
	require.True(t, strings.HasPrefix(packet, prefix), packet)
	var v map[string]string
	require.NoError(t, json.Unmarshal([]byte(packet[len(prefix):]), &v))
	require.Len(t, v, 1)
	return v["sid"]
}

// upgrade dials the WebSocket that a polling session may upgrade to.
func (h *host) upgrade(sid string) raw {
	h.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/socket.io/?EIO=4&transport=websocket&sid="+sid, nil)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { ws.Close() })
	return raw{h.t, ws}
}
