package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay/natstest"
	"github.com/traceroom/traceroom/rooms/relay/relaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	waitFor = 20 * time.Second
	tick    = time.Millisecond
)

func TestLocal(t *testing.T) {
	relaytest.Suite{New: func(*testing.T, int) []rooms.Relay { return []rooms.Relay{&Local{}} }}.Run(t)
}

func TestNATS(t *testing.T) {
	server := natstest.Start(t)
	relaytest.Suite{New: func(t *testing.T, n int) (nodes []rooms.Relay) {
		for range n {
			nodes = append(nodes, open(t, server, "test", func(bool) {}))
		}
		return nodes
	}}.Run(t)
}

func open(t *testing.T, server *natstest.Server, space string, regained func(bool)) *NATS {
	t.Helper()
	n, err := OpenNATS(t.Context(), NATSOptions{
		URL: server.URL(), Space: space, Node: t.Name(), Lost: func(error) {}, Regained: regained, Failed: func(error) {},
	})
	require.NoError(t, err)
	return n
}

// Nodes of another database on the same NATS hear nothing.
func TestSpacesKeepApart(t *testing.T) {
	server := natstest.Start(t)
	one, two, other := open(t, server, "one", nil), open(t, server, "one", nil), open(t, server, "other", nil)
	var heard, overheard atomic.Int32
	_, err := two.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) { heard.Add(1) })
	require.NoError(t, err)
	_, err = other.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) { overheard.Add(1) })
	require.NoError(t, err)
	require.NoError(t, one.Publish(t.Context(), &rooms.Event{Kind: rooms.EventTyping, RoomID: "a"}))
	require.Eventually(t, func() bool { return heard.Load() == 1 }, waitFor, tick)
	for _, n := range []*NATS{one, two, other} {
		require.NoError(t, n.Close())
	}
	require.Zero(t, overheard.Load())
}

// While NATS is away this node's members hear each other; when it is there again, so are all others.
func TestNATSRestarts(t *testing.T) {
	server := natstest.Start(t)
	var regained atomic.Int32
	one := open(t, server, "test", func(bool) { regained.Add(1) })
	two := open(t, server, "test", func(bool) { regained.Add(1) })
	var here, there atomic.Int32
	_, err := one.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) { here.Add(1) })
	require.NoError(t, err)
	_, err = two.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) { there.Add(1) })
	require.NoError(t, err)
	say := func() error { return one.Publish(t.Context(), &rooms.Event{Kind: rooms.EventTyping, RoomID: "a"}) }
	require.NoError(t, say())
	require.Eventually(t, func() bool { return there.Load() == 1 }, waitFor, tick)

	server.Stop()
	require.Eventually(t, func() bool { return !one.conn.IsConnected() && !two.conn.IsConnected() }, waitFor, tick)
	before := here.Load()
	require.NoError(t, say())
	require.Equal(t, before+1, here.Load())
	// A room that comes up meanwhile has what follows.
	var late atomic.Int32
	_, err = two.Subscribe(t.Context(), "b", func(context.Context, *rooms.Event) { late.Add(1) })
	require.NoError(t, err)

	server.Run()
	require.Eventually(t, func() bool { return regained.Load() == 2 }, waitFor, tick, "both say that rooms should look")
	was := there.Load()
	require.NoError(t, say())
	require.Eventually(t, func() bool { return there.Load() > was }, waitFor, tick)
	require.NoError(t, one.Publish(t.Context(), &rooms.Event{Kind: rooms.EventTyping, RoomID: "b"}))
	require.Eventually(t, func() bool { return late.Load() == 1 }, waitFor, tick)
	require.NoError(t, one.Close())
	require.NoError(t, two.Close())
}

// However long NATS is away, what waits for it is bounded, and nobody waits.
func TestNATSAwayForLong(t *testing.T) {
	server := natstest.Start(t)
	var failed atomic.Int32
	n, err := OpenNATS(t.Context(), NATSOptions{
		URL: server.URL(), Space: "test", Lost: func(error) {}, Regained: func(bool) {}, Failed: func(error) { failed.Add(1) },
	})
	require.NoError(t, err)
	server.Stop()
	require.Eventually(t, func() bool { return !n.conn.IsConnected() }, waitFor, tick)
	text := string(make([]byte, 16<<10))
	require.Eventually(t, func() bool {
		err := n.Publish(t.Context(), &rooms.Event{Kind: rooms.EventMessage, RoomID: "a", Message: &rooms.Message{Text: text}})
		require.True(t, err == nil || errors.Is(err, errFull))
		return failed.Load() > 10
	}, waitFor, time.Microsecond)
	require.NoError(t, n.Close())
	require.NoError(t, n.Close())
	require.ErrorIs(t, n.Publish(t.Context(), &rooms.Event{Kind: rooms.EventTyping, RoomID: "a"}), errClosed)
	_, err = n.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) {})
	require.ErrorIs(t, err, errClosed)
}

func TestNATSIsWaitedFor(t *testing.T) {
	server := natstest.Start(t)
	server.Stop()
	opts := NATSOptions{URL: server.URL(), Space: "test", Lost: func(error) {}, Regained: func(bool) {}, Failed: func(error) {}}
	_, err := OpenNATS(t.Context(), opts)
	require.ErrorContains(t, err, "NATS cannot be reached")
	require.NotContains(t, err.Error(), "\n")

	opts.Wait = waitFor
	opened := make(chan error)
	var n *NATS
	go func() {
		var err error
		n, err = OpenNATS(t.Context(), opts)
		opened <- err
	}()
	server.Run()
	require.NoError(t, <-opened)
	require.NoError(t, n.Close())

	opts.URL = "not a url"
	_, err = OpenNATS(t.Context(), opts)
	require.ErrorContains(t, err, "want nats://HOST:PORT")
}
