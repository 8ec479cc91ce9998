// Package relaytest holds the tests that every implementation of rooms.Relay passes. It knows no implementation.
package relaytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
)

// Suite holds the conformance tests for one implementation.
type Suite struct {
	// New returns relays that reach each other, one for each of the nodes, or a single one if the implementation is for one node.
	// The suite closes them.
	New func(t *testing.T, nodes int) []rooms.Relay
}

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// Run runs the tests.
func (s Suite) Run(t *testing.T) {
	for name, test := range map[string]func(*testing.T, []rooms.Relay){
		"this node is told before Publish returns": testLocal,
		"events arrive as they were":               testRoundTrip,
		"rooms keep apart, whatever their ids":     testIDs,
		"every node is told once":                  testOnce,
		"who has cancelled is told no more":        testCancel,
		"publishers and subscribers at once":       testConcurrent,
	} {
		t.Run(name, func(t *testing.T) {
			nodes := s.New(t, 3)
			t.Cleanup(func() {
				for _, n := range nodes {
					require.NoError(t, n.Close())
				}
			})
			test(t, nodes)
		})
	}
}

// listener is a handler that keeps the events that it is called with.
type listener struct {
	mu     sync.Mutex
	events []*rooms.Event
	ctxs   []context.Context
}

func (l *listener) handle(ctx context.Context, ev *rooms.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, ev)
	l.ctxs = append(l.ctxs, ctx)
}

func (l *listener) got() []*rooms.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.events[:len(l.events):len(l.events)]
}

func (l *listener) await(t *testing.T, n int) []*rooms.Event {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.got()) >= n }, patience, time.Millisecond, "%d events", n)
	return l.got()
}

func subscribe(t *testing.T, r rooms.Relay, room string) (*listener, func()) {
	t.Helper()
	l := &listener{}
	cancel, err := r.Subscribe(t.Context(), room, l.handle)
	require.NoError(t, err)
	return l, cancel
}

func typing(room, client string) *rooms.Event {
	return &rooms.Event{Kind: rooms.EventTyping, RoomID: room, ClientID: client, Transport: "websocket", Received: time.Now()}
}

type ctxKey struct{}

func testLocal(t *testing.T, nodes []rooms.Relay) {
	one, _ := subscribe(t, nodes[0], "a")
	two, _ := subscribe(t, nodes[0], "a")
	ev := typing("a", "ada")
	ctx := context.WithValue(t.Context(), ctxKey{}, "the publisher's")
	require.NoError(t, nodes[0].Publish(ctx, ev))
	for _, l := range []*listener{one, two} {
		require.Len(t, l.got(), 1)
		require.Same(t, ev, l.got()[0])
		require.Equal(t, "the publisher's", l.ctxs[0].Value(ctxKey{}))
		require.True(t, l.got()[0].Relayed.IsZero())
	}
}

func testRoundTrip(t *testing.T, nodes []rooms.Relay) {
	last := nodes[len(nodes)-1]
	l, _ := subscribe(t, last, "a.b")
	at := time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)
	trace := rooms.TraceContext{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", State: "a=1,b=2"}
	message := &rooms.Message{
		ID: "0195d0c5-0000-7000-8000-000000000000", RoomID: "a.b", Generation: 1 << 40, Seq: 1 << 35, ClientID: "ada",
		Text: "日本語 👩‍👩‍👧‍👦 \x01\u2028 \"quoted\" \\", IsReply: true, ParentID: "0195d0c5-0000-7000-8000-000000000001",
		CreatedAt: at, UpdatedAt: at.Add(time.Hour), Trace: rooms.TraceContext{Parent: "stored", State: "with it"},
	}
	long := *message
	long.Text = strings.Repeat("😀", rooms.MaxTextLength)
	events := []rooms.Event{
		{Kind: rooms.EventMessage, Message: message, ClientID: "ada", Generation: 1 << 40, Transport: "socket.io", Trace: trace},
		{Kind: rooms.EventMessage, Message: &long, ClientID: "ada", Generation: 1 << 40, Transport: "http"},
		{Kind: rooms.EventMessage, Message: &rooms.Message{RoomID: "a.b", CreatedAt: at, UpdatedAt: at}},
		{Kind: rooms.EventTyping, ClientID: "ada", Transport: "websocket"},
		{Kind: rooms.EventJoined, ClientID: "ada", Participants: 5, Turn: 77, Generation: 3, Trace: rooms.TraceContext{Parent: trace.Parent}},
		{Kind: rooms.EventLeft, ClientID: "ada", Participants: 0, Turn: 78, Generation: 3},
		{Kind: rooms.EventRoomDeleted, Generation: 9},
	}
	for i := range events {
		events[i].RoomID, events[i].Received = "a.b", at
		require.NoError(t, nodes[0].Publish(t.Context(), &events[i]))
	}
	got := l.await(t, len(events))
	for i, ev := range got {
		copied := *ev
		if len(nodes) > 1 {
			require.WithinDuration(t, time.Now(), ev.Relayed, time.Minute)
			require.Nil(t, l.ctxs[i].Value(ctxKey{}))
			require.WithinDuration(t, time.Now(), ev.Received, time.Minute, "by this node's clock, whatever the other's says")
			copied.Relayed, copied.Received = time.Time{}, at
		}
		require.Equal(t, events[i], copied)
	}
}

func testIDs(t *testing.T, nodes []rooms.Relay) {
	ids := []string{".", "..", "...", "a", "A", "a.", ".a", "a..b", "a.b", "a-b", "a_b", "a.b.c", "-", "_", strings.Repeat(".", 64), strings.Repeat("x", 64)}
	var listeners []*listener
	last := nodes[len(nodes)-1]
	for _, id := range ids {
		l, _ := subscribe(t, last, id)
		listeners = append(listeners, l)
	}
	for i, id := range ids {
		for range i + 1 {
			require.NoError(t, nodes[0].Publish(t.Context(), typing(id, "ada")))
		}
	}
	for i, id := range ids {
		for _, ev := range listeners[i].await(t, i+1) {
			require.Equal(t, id, ev.RoomID)
		}
	}
	for i := range ids {
		require.Len(t, listeners[i].got(), i+1)
	}
}

func testOnce(t *testing.T, nodes []rooms.Relay) {
	var listeners []*listener
	for _, n := range nodes {
		l, _ := subscribe(t, n, "a")
		listeners = append(listeners, l)
	}
	const each = 200
	for i := range each {
		for n, node := range nodes {
			require.NoError(t, node.Publish(t.Context(), typing("a", fmt.Sprint(n, ".", i))))
		}
	}
	for _, l := range listeners {
		next := make([]int, len(nodes))
		for _, ev := range l.await(t, each*len(nodes)) {
			var n, i int
			_, err := fmt.Sscanf(ev.ClientID, "%d.%d", &n, &i)
			require.NoError(t, err)
			require.Equal(t, next[n], i, "what one node publishes keeps its order here")
			next[n]++
		}
	}
	for _, l := range listeners {
		require.Len(t, l.got(), each*len(nodes))
	}
}

func testCancel(t *testing.T, nodes []rooms.Relay) {
	last := nodes[len(nodes)-1]
	gone, cancel := subscribe(t, last, "a")
	stays, _ := subscribe(t, last, "a")
	other, cancelOther := subscribe(t, last, "b")
	cancelOther()
	cancel()
	cancel()
	for _, room := range []string{"a", "b", "nobody"} {
		require.NoError(t, nodes[0].Publish(t.Context(), typing(room, "ada")))
	}
	stays.await(t, 1)
	require.Empty(t, gone.got())
	again, _ := subscribe(t, last, "b")
	require.NoError(t, nodes[0].Publish(t.Context(), typing("b", "bob")))
	require.Equal(t, "bob", again.await(t, 1)[0].ClientID)
	require.Empty(t, other.got())
}

func testConcurrent(t *testing.T, nodes []rooms.Relay) {
	l, _ := subscribe(t, nodes[0], "a")
	var wg sync.WaitGroup
	const each = 100
	for _, node := range nodes {
		for range 4 {
			wg.Go(func() {
				for range each {
					if err := node.Publish(t.Context(), typing("a", "ada")); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range each / 10 {
					cancel, err := node.Subscribe(t.Context(), "a", func(context.Context, *rooms.Event) {})
					if err != nil {
						t.Error(err)
						return
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	l.await(t, each*4*len(nodes))
}
