package ws_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
	"github.com/traceroom/traceroom/web/wstest"
)

// ended is what a Handler was told last.
type ended struct {
	why ws.Status
	err error
}

// handler notes what it is told. say, if not nil, is called with each message.
type handler struct {
	conn  *ws.Conn
	heard []string
	say   func(text string) error
	ended chan ended
}

func (h *handler) Message(_ ws.Op, p []byte) error {
	h.heard = append(h.heard, string(p))
	if h.say != nil {
		return h.say(string(p))
	}
	return nil
}

func (h *handler) Ended(why ws.Status, err error) { h.ended <- ended{why, err} }

// served is a Group in a bubble, and clients of it.
type served struct {
	t      *testing.T
	group  *ws.Group
	opened chan *handler
	errs   chan error
	gone   atomic.Int32
	pipes  *wstest.Pipes
}

// inBubble runs a test in a bubble of testing/synctest: time passes only while everything waits.
func inBubble(t *testing.T, opts ws.Options, test func(t *testing.T, s *served)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &served{t: t, opened: make(chan *handler, 10), errs: make(chan error, 10)}
		pool := workers.NewPool(1, time.Millisecond)
		opts.MaxMessage, opts.Linger, opts.Gone = limit, 3*time.Second, func() { s.gone.Add(1) }
		s.group = ws.NewGroup(pool, opts)
		srv, pipes := wstest.ServeOnPipes(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := s.group.Upgrade(w, r, "c")
			if err != nil {
				s.errs <- err
				return
			}
			h := &handler{conn: c, ended: make(chan ended, 1)}
			s.opened <- h
		}))
		s.pipes = pipes
		test(t, s)
		s.group.Close(ws.Status{Code: 1001})
		s.group.HangUp()
		require.NoError(t, s.group.Wait(t.Context()))
		pool.Close()
		srv.Close()
	})
}

func (s *served) dial() *websocket.Conn {
	s.t.Helper()
	dialer := websocket.Dialer{NetDialContext: s.pipes.Dial}
	client, _, err := dialer.Dial("ws://localhost/", nil)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { client.Close() })
	return client
}

// open dials, and starts what is dialled.
func (s *served) open() (*websocket.Conn, *handler) {
	s.t.Helper()
	client := s.dial()
	h := <-s.opened
	h.conn.Start(h)
	return client, h
}

// reading reads until the connection ends, and then returns why.
func reading(client *websocket.Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		for {
			if _, _, err := client.ReadMessage(); err != nil {
				done <- err
				return
			}
		}
	}()
	return done
}

func TestAPeerIsDroppedThatIsSilentForTwoPings(t *testing.T) {
	const interval = 25 * time.Second
	inBubble(t, ws.Options{PingInterval: interval}, func(t *testing.T, s *served) {
		start := time.Now()
		client, h := s.open()
		pings := 0
		client.SetPingHandler(func(string) error { pings++; return nil })
		done := reading(client)
		require.Equal(t, ws.Silent, (<-h.ended).why)
		require.Error(t, <-done)
		require.Equal(t, 2, pings)
		require.Less(t, time.Since(start), 3*interval+time.Second)
		require.Greater(t, time.Since(start), 2*interval)
	})
}

func TestAPeerThatAnswersPingsOrSaysSomethingStays(t *testing.T) {
	const interval = 25 * time.Second
	inBubble(t, ws.Options{PingInterval: interval}, func(t *testing.T, s *served) {
		answering, h1 := s.open()
		reading(answering)
		talking, h2 := s.open()
		talking.SetPingHandler(func(string) error { return nil })
		reading(talking)
		for range 200 {
			time.Sleep(interval / 2)
			require.NoError(t, talking.WriteMessage(websocket.TextMessage, []byte("x")))
		}
		synctest.Wait()
		require.Empty(t, h1.ended)
		require.Empty(t, h2.ended)
		require.Len(t, h2.heard, 200)
	})
}

// Nobody is silent before anything is read from it.
func TestWhoIsNotReadFromIsNotDroppedForSilence(t *testing.T) {
	inBubble(t, ws.Options{PingInterval: time.Second}, func(t *testing.T, s *served) {
		client := s.dial()
		h := <-s.opened
		var answers atomic.Bool
		client.SetPingHandler(func(string) error {
			if !answers.Load() {
				return nil
			}
			return client.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Hour))
		})
		reading(client)
		time.Sleep(time.Hour)
		require.True(t, h.conn.Open())
		h.conn.Start(h)
		answers.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.True(t, h.conn.Open(), "it answers")
	})
}

func TestHowAConnectionEnds(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		act  func(t *testing.T, client *websocket.Conn, h *handler)
		want ended
		code int // that the peer is told
	}{
		"the peer closes": {func(t *testing.T, client *websocket.Conn, _ *handler) {
			require.NoError(t, client.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4123, "done")))
		}, ended{why: ws.Status{Code: 4123, Reason: "done"}}, 4123},
		"this side finishes": {func(_ *testing.T, _ *websocket.Conn, h *handler) {
			h.conn.Finish(ws.Status{Code: 4001, Reason: "gone"})
			h.conn.Abort(ws.Status{Code: 4008, Reason: "slow"})
		}, ended{why: ws.Status{Code: 4001, Reason: "gone"}}, 4001},
		"the handler returns a status": {func(t *testing.T, client *websocket.Conn, h *handler) {
			h.say = func(string) error { return ws.Status{Code: 1003, Reason: "no"} }
			require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("x")))
		}, ended{ws.Status{Code: 1003, Reason: "no"}, ws.Status{Code: 1003, Reason: "no"}}, 1003},
		"the handler returns another error": {func(t *testing.T, client *websocket.Conn, h *handler) {
			h.say = func(string) error { return boom }
			require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("x")))
		}, ended{ws.Status{Code: 1011, Reason: "the message could not be handled"}, boom}, 1011},
		"not UTF-8": {func(t *testing.T, client *websocket.Conn, _ *handler) {
			require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("\xff")))
		}, ended{ws.NotUTF8, ws.ErrNotUTF8}, 1007},
		"too long": {func(t *testing.T, client *websocket.Conn, _ *handler) {
			go func() { _ = client.WriteMessage(websocket.BinaryMessage, make([]byte, limit+1)) }()
		}, ended{ws.TooBig, ws.ErrTooLong}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, ws.Options{}, func(t *testing.T, s *served) {
				client, h := s.open()
				done := reading(client)
				test.act(t, client, h)
				require.Equal(t, test.want, <-h.ended)
				require.True(t, websocket.IsCloseError(<-done, test.code))
				require.False(t, h.conn.Push(ws.Bytes("x")))
				client.Close()
				require.NoError(t, func() error { s.group.Close(ws.Status{}); return s.group.Wait(t.Context()) }())
				require.EqualValues(t, 1, s.gone.Load())
			})
		})
	}
}

func TestNothingIsHandedOverAfterTheEnd(t *testing.T) {
	inBubble(t, ws.Options{}, func(t *testing.T, s *served) {
		client, h := s.open()
		require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("before")))
		synctest.Wait()
		h.conn.Finish(ws.Status{Code: 4001})
		require.NoError(t, client.WriteMessage(websocket.TextMessage, []byte("behind")))
		client.SetCloseHandler(func(int, string) error { return nil })
		require.Error(t, <-reading(client))
		client.Close()
		<-h.ended
		require.Equal(t, []string{"before"}, h.heard)
	})
}

func TestAClosedGroupSendsEverybodyAway(t *testing.T) {
	inBubble(t, ws.Options{}, func(t *testing.T, s *served) {
		early, h := s.open()
		done := reading(early)
		away := ws.Status{Code: 1001, Reason: "away"}
		s.group.Close(away)
		require.Equal(t, away, (<-h.ended).why)
		require.True(t, websocket.IsCloseError(<-done, 1001))

		late := s.dial()
		require.True(t, websocket.IsCloseError(<-reading(late), 1001))
		require.Equal(t, ws.ErrClosed, <-s.errs)
		require.NoError(t, s.group.Wait(t.Context()))
		require.EqualValues(t, 1, s.gone.Load())
	})
}

// A peer that answers no close frame is waited for as long as the caller wants, and then no longer.
func TestWaitingForAGroupEndsWithTheContext(t *testing.T) {
	inBubble(t, ws.Options{}, func(t *testing.T, s *served) {
		_, h := s.open()
		s.group.Close(ws.Status{Code: 1001})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.group.Wait(ctx), context.DeadlineExceeded)
		s.group.HangUp()
		require.NoError(t, s.group.Wait(t.Context()))
		require.EqualValues(t, 1001, (<-h.ended).why.Code)
	})
}

func TestCodesSayByTheirRangesWhetherToReconnect(t *testing.T) {
	for code, want := range map[int]bool{
		1000: false, 1001: true, 1002: false, 1003: false, 1005: false, 1006: true, 1007: false, 1009: false, 1010: false, 1011: true,
		1014: true, 1015: true, 4000: false, 4001: false, 4003: false, 4007: false, 4008: true, 4399: true, 4400: false, 4401: false,
		4999: false, 5000: true,
	} {
		require.Equal(t, want, ws.Status{Code: code}.Reconnect(), code)
	}
}
