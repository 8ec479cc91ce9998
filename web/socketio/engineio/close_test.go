package engineio_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/workers"
)

func TestClosingTheServerSendsAllClientsAway(t *testing.T) {
	h := serve(t, calm())
	ws, _ := h.open()
	upgraded := h.poll().upgraded()
	upgraded.write("4x")
	require.Equal(t, "4x", upgraded.read())
	polling := h.poll()
	answer := polling.getLater()
	polling.waitPolling(answer)
	between := h.poll()
	h.poll() // never heard of again
	probing := h.poll()
	probe := probing.probed()

	codes := make(chan int, 3)
	for _, s := range []socket{ws, upgraded, probe} {
		go func() { codes <- s.closed() }()
	}
	closed := make(chan error, 1)
	go func() { closed <- h.eio.Close(context.Background()) }()
	require.Equal(t, "1", h.wait(answer).body)
	require.Eventually(t, func() bool { return h.do("GET", "EIO=4&transport=polling", "").status == 503 }, patience, time.Millisecond)
	require.Equal(t, "1", between.get().body)
	for range 3 {
		require.Equal(t, 1001, <-codes)
	}
	require.NoError(t, <-closed)
	for range 6 {
		require.Equal(t, engineio.Shutdown, h.end().reason)
	}
	require.Empty(t, h.ended)
	require.Equal(t, 503, between.get().status)
	require.ErrorIs(t, h.eio.Close(context.Background()), engineio.ErrClosed)
}

func TestClosingTheServerDoesNotWaitLongerThanItMay(t *testing.T) {
	h := serve(t, calm())
	h.block = make(chan struct{})
	s, _ := h.open()
	s.write("4x")
	require.Eventually(t, func() bool { return h.eio.Len() == 1 }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := h.eio.Close(ctx)
	require.Less(t, time.Since(began), 3*time.Second)
	if err != nil {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	close(h.block)
	h.end()
}

func TestManyServersMayShareAPool(t *testing.T) {
	pool := workers.NewPool(1, time.Second)
	for range 2 {
		opts := calm()
		opts.Pool = pool
		h := serve(t, opts)
		s, _ := h.open()
		s.write("4x")
		require.Equal(t, "4x", s.read())
		go s.closed()
		require.NoError(t, h.eio.Close(context.Background()))
	}
	pool.Close()
}

// A handler may end its own session, and what was arranged with Do happens between messages.
func TestDoComesBetweenMessages(t *testing.T) {
	var inside, met atomic.Int32
	done := make(chan bool, 10)
	h := serve(t, calm(), func(s *engineio.Session) {
		s.Do(func() {
			if inside.Add(1) > 1 {
				met.Add(1)
			}
			inside.Add(-1)
			done <- true
		})
	})
	s, _ := h.open()
	<-done
	s.write("4x")
	require.Equal(t, "4x", s.read())
	for range 3 {
		require.True(t, h.session(0).Do(func() { done <- true }))
		<-done
	}
	h.session(0).Close(engineio.ForcedClose)
	h.end()
	require.False(t, h.session(0).Do(func() { t.Error("called after the end") }))
	require.Zero(t, met.Load())
}

func TestASessionMayBeRefusedAtItsStart(t *testing.T) {
	h := serve(t, calm(), func(s *engineio.Session) { s.Abort("not welcome", nil) })
	require.Equal(t, 1008, h.dial("EIO=4&transport=websocket").closed())
	require.Equal(t, engineio.Reason("not welcome"), h.end().reason)
	require.Equal(t, 400, h.poll().get().status)
	require.Equal(t, engineio.Reason("not welcome"), h.end().reason)
	require.Zero(t, h.eio.Len())
}
