package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/tracing/span"
)

// deaf is a Store that answers nothing while it hangs, not even when its caller has gone.
type deaf struct {
	numbering
	hangs atomic.Bool
	calls atomic.Int32 // while it hangs
	letGo chan struct{}
}

func (s *deaf) wait() {
	if s.hangs.Load() {
		s.calls.Add(1)
		<-s.letGo
	}
}

func (s *deaf) Append(ctx context.Context, room string, drafts []rooms.Draft) error {
	s.wait()
	return s.numbering.Append(ctx, room, drafts)
}

func (s *deaf) Room(ctx context.Context, id string) (rooms.Room, error) {
	s.wait()
	return s.numbering.Room(ctx, id)
}

func (s *deaf) Newest(ctx context.Context, id string, seq int64, limit int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	s.wait()
	return s.numbering.Newest(ctx, id, seq, limit, most)
}

// A server is drained in the time that it is given, whatever the store does: clients are told that it goes, and nobody
// gets an acknowledgement of what is not stored. Whoever waits for the store is waited for only until the rooms are closed.
func TestDrainingDoesNotWaitForAStoreThatHangs(t *testing.T) {
	store := &deaf{letGo: make(chan struct{})}
	hub, err := rooms.NewHub(t.Context(), rooms.Config{Store: store, Relay: &relay.Local{}})
	require.NoError(t, err)
	nothing := http.NotFoundHandler()
	s := New(Config{Service: hub, Page: nothing, Metrics: nothing, Log: zap.NewNop(), Limits: DefaultLimits})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	dial := func(path string) *websocket.Conn {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+path, nil)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
		return conn
	}
	read := func(conn *websocket.Conn, until string) {
		t.Helper()
		for {
			_, p, err := conn.ReadMessage()
			require.NoError(t, err)
			if strings.Contains(string(p), until) {
				return
			}
		}
	}
	ada, bob, sio := dial("/ws/lobby/ada"), dial("/ws/lobby/bob"), dial("/socket.io/?EIO=4&transport=websocket")
	for _, conn := range []*websocket.Conn{ada, bob} {
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"message","text":"stored"}`)))
		read(conn, "stored")
	}
	require.NoError(t, sio.WriteMessage(websocket.TextMessage, []byte("40")))
	read(sio, "40{")
	require.NoError(t, sio.WriteMessage(websocket.TextMessage, []byte(`42["join",{"room_id":"lobby","client_id":"eve"}]`)))
	read(sio, "joined")

	store.hangs.Store(true)
	require.NoError(t, ada.WriteMessage(websocket.TextMessage, []byte(`{"type":"message","text":"in doubt","ref":"1"}`)))
	require.Eventually(t, func() bool { return store.calls.Load() == 1 }, patience, time.Millisecond)
	var late []*websocket.Conn // in line behind it
	for i := range 5 {
		late = append(late, dial(fmt.Sprint("/ws/lobby/late", i)))
	}

	var came sync.Map // what each connection was told after that
	var readers sync.WaitGroup
	for i, conn := range append(late, ada, bob, sio) {
		readers.Go(func() {
			for {
				_, p, err := conn.ReadMessage()
				if err != nil {
					came.Store(i, err)
					return
				}
				if strings.Contains(string(p), "in doubt") {
					t.Errorf("an acknowledgement: %s", p)
				}
			}
		})
	}
	within := func(what string, f func(ctx context.Context)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); f(ctx) }()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("%s waits for the store", what)
		}
	}
	within("Drain", s.Drain)
	within("Close of the rooms", func(ctx context.Context) {
		if hub.Close(ctx) == nil {
			t.Error("the store hangs, and the rooms are closed all the same")
		}
	})
	within("Close", func(context.Context) { s.Close() })
	readers.Wait()
	for i := range 8 {
		err, ok := came.Load(i)
		require.True(t, ok)
		require.True(t, websocket.IsCloseError(err.(error), websocket.CloseGoingAway), "%d: %v", i, err)
	}
	close(store.letGo)
	require.Eventually(t, func() bool { return hub.Close(t.Context()) == nil }, patience, time.Millisecond)
	require.EqualValues(t, 1, store.calls.Load(), "the store is not asked for those who have gone")
}

// The end of a connection that came too late is, as that of any other, no part of the trace in which it was opened.
func TestAConnectionThatComesTooLateEndsInATraceOfItsOwn(t *testing.T) {
	ended := make(chan context.Context, 1)
	nothing := http.NotFoundHandler()
	connect := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})
	s := New(Config{Service: struct{ rooms.Service }{}, Page: nothing, Metrics: nothing, Log: zap.NewNop(), Limits: DefaultLimits,
		Connecting: func(r *http.Request, _ *rooms.Conn) (context.Context, func(int)) {
			return trace.ContextWithSpanContext(r.Context(), connect), func(int) {}
		},
		Disconnected: func(ctx context.Context, _ *rooms.Conn, _ int, _ string) { ended <- ctx }})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	s.Drain(t.Context())
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws/lobby/late", nil)
	require.NoError(t, err)
	defer conn.Close()
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), err)
	require.Empty(t, span.TraceID(<-ended))
	s.Close()
}
