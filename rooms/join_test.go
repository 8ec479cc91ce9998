package rooms_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// holder is a recorder whose peer reads only when take is called.
type holder struct {
	recorder
	pushed chan *rooms.Bundle
	size   atomic.Int64 // bytes that wait
	most   atomic.Int64 // the most that ever waited
}

func newHolder() *holder { return &holder{pushed: make(chan *rooms.Bundle, 10_000)} }

func (h *holder) Push(b *rooms.Bundle) bool {
	if n := h.size.Add(int64(len(b.Bytes()))); n > h.most.Load() {
		h.most.Store(n)
	}
	h.pushed <- b
	return true
}

// take has the peer read the next bundle, and returns its events.
func (h *holder) take(t *testing.T) told {
	t.Helper()
	select {
	case b := <-h.pushed:
		h.size.Add(-int64(len(b.Bytes())))
		h.events = nil
		h.read(b)
		b.Done("holder", true)
		return h.events[0]
	case <-time.After(waitFor):
		require.FailNow(t, "nothing comes")
		return told{}
	}
}

// joining starts a join, and returns a channel for its outcome.
func (n *node) joining(room, client string, since int64, sink rooms.Sink) <-chan error {
	out := make(chan error, 1)
	go func() {
		_, err := n.Join(context.Background(), &rooms.Conn{ID: client, Transport: "websocket", Sink: sink},
			rooms.Join{RoomID: room, ClientID: client, Since: &since})
		out <- err
	}()
	return out
}

// outcome waits for the outcome of a join.
func outcome(t *testing.T, join <-chan error) error {
	t.Helper()
	select {
	case err := <-join:
		return err
	case <-time.After(waitFor):
		require.FailNow(t, "the join does not end")
		return nil
	}
}

// longRoom returns a node with a room that has n messages of 4 KiB.
func longRoom(t *testing.T, s rooms.Store, n int) (*node, *rooms.Member) {
	t.Helper()
	node := newNode(t, s, &relay.Local{}, rooms.Limits{})
	_, m := node.join(t, "lobby", "ada", -1)
	sayLong(t, node, m, n)
	return node, m
}

func sayLong(t *testing.T, n *node, m *rooms.Member, count int) {
	t.Helper()
	for range count {
		require.NoError(t, n.send("lobby", "ada", strings.Repeat("x", 4096), "", m))
	}
}

func TestALongHistoryIsHandedOutInPartsAsItIsTaken(t *testing.T) {
	n, m := longRoom(t, openStore(t), 100)
	h := newHolder()
	join := n.joining("lobby", "bob", 0, h)
	var seqs []int64
	parts := 0
	for more := true; more; parts++ {
		part := h.take(t)
		require.Equal(t, "history", part.Kind)
		seqs = append(seqs, part.History...)
		if more = part.More; more && parts < 3 {
			sayLong(t, n, m, 10) // others send while it reads slowly
		}
	}
	require.NoError(t, outcome(t, join))
	sayLong(t, n, m, 1)
	require.EqualValues(t, 131, h.take(t).Seq, "live from here on")
	require.Greater(t, parts, 3)
	require.Len(t, seqs, 130, "none is missing, none comes twice")
	for i, seq := range seqs {
		require.EqualValues(t, i+1, seq)
	}
	require.Less(t, h.most.Load(), int64(128<<10), "no more than a part waits at a time")
}

func TestAJoinEndsWithItsConnection(t *testing.T) {
	n, _ := longRoom(t, openStore(t), 40)
	h := newHolder()
	join := n.joining("lobby", "bob", 0, h)
	b := <-h.pushed
	require.Empty(t, join)
	b.Done("bob", false)
	require.ErrorIs(t, outcome(t, join), rooms.ErrUnavailable)
	require.Equal(t, 1, n.Counts().Members)
}

func TestClosingEndsAJoinThatWaits(t *testing.T) {
	n, _ := longRoom(t, openStore(t), 40)
	h := newHolder()
	join := n.joining("lobby", "bob", 0, h)
	<-h.pushed
	require.NoError(t, n.Close(t.Context()))
	require.ErrorIs(t, outcome(t, join), rooms.ErrUnavailable)
}

func TestARoomThatIsDeletedWhileItsHistoryIsHandedOut(t *testing.T) {
	for name, anew := range map[string]bool{"deleted": false, "and created anew": true} {
		t.Run(name, func(t *testing.T) {
			n, _ := longRoom(t, openStore(t), 40)
			h := newHolder()
			join := n.joining("lobby", "bob", 0, h)
			b := <-h.pushed
			require.NoError(t, n.DeleteRoom(t.Context(), "lobby"))
			if anew {
				_, created, err := n.CreateRoom(t.Context(), "lobby", "")
				require.NoError(t, err)
				require.True(t, created)
			}
			b.Done("bob", true)
			require.ErrorIs(t, outcome(t, join), rooms.ErrUnavailable)
			require.Empty(t, h.pushed)
			_, err := n.Room(t.Context(), "lobby")
			require.Equal(t, anew, err == nil, "it was not created by who was about to join")
		})
	}
}

// counting is a Store that counts the reads of messages, and can delay one.
type counting struct {
	rooms.Store
	reads atomic.Int64
	hold  chan struct{} // nil: none is
}

func (c *counting) Newest(ctx context.Context, id string, seq int64, newest int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	c.reads.Add(1)
	if c.hold != nil {
		<-c.hold
	}
	return c.Store.Newest(ctx, id, seq, newest, most)
}

func (c *counting) After(ctx context.Context, id string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	c.reads.Add(1)
	return c.Store.After(ctx, id, seq, most)
}

func TestWhoJoinsAtTheSameMomentSharesWhatIsReadAndEncoded(t *testing.T) {
	s := &counting{Store: openStore(t)}
	n, m := longRoom(t, s, 5)
	s.hold = make(chan struct{})
	s.reads.Store(0)
	first := newHolder()
	joins := []<-chan error{n.joining("lobby", "first", 0, first)}
	require.Eventually(t, func() bool { return s.reads.Load() == 1 }, waitFor, tick)
	var others []*holder
	for i := range 20 {
		others = append(others, newHolder())
		joins = append(joins, n.joining("lobby", fmt.Sprint("other", i), 0, others[i]))
	}
	// The message of this goroutine comes behind them in the queue.
	done := make(chan error, 1)
	require.Eventually(t, func() bool { return n.QueueLength("lobby") == len(others) }, waitFor, tick)
	require.NoError(t, n.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x", From: m},
		func(_ *rooms.Message, _ bool, err error) { done <- err }))
	close(s.hold)
	for _, join := range joins {
		require.NoError(t, outcome(t, join))
	}
	require.NoError(t, <-done)
	require.EqualValues(t, 2, s.reads.Load(), "one for the first, one for all the others")
	shared := <-others[0].pushed
	for _, h := range others[1:] {
		b := <-h.pushed
		require.Same(t, &shared.Bytes()[0], &b.Bytes()[0])
	}
	for _, h := range others {
		e := h.take(t)
		for e.Kind == "user_joined" {
			e = h.take(t)
		}
		require.EqualValues(t, 6, e.Seq, "and then what is said")
	}
}

// speechless is a Format that does not encode histories.
type speechless struct{ lines }

func (speechless) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	if ev.Kind == rooms.EventHistory {
		return dst
	}
	return lines{}.Append(dst, ev, ref)
}

type speechlessSink struct{ recorder }

func (*speechlessSink) Format() rooms.Format { return speechless{} }

func TestNothingIsReadForWhoIsShownNoHistory(t *testing.T) {
	s := &counting{Store: openStore(t)}
	n, m := longRoom(t, s, 5)
	s.reads.Store(0)
	sink := &speechlessSink{}
	require.NoError(t, outcome(t, n.joining("lobby", "bob", 0, sink)))
	sayLong(t, n, m, 1)
	require.Eventually(t, func() bool { return sink.last() == 6 }, waitFor, tick)
	require.Zero(t, s.reads.Load())
}

// bounded is a member whose queue is bounded in bytes, and whose writer needs some time for each bundle.
type bounded struct {
	recorder
	line    chan *rooms.Bundle
	waiting atomic.Int64
}

const boundedBytes = 512 << 10

func (b *bounded) Push(bundle *rooms.Bundle) bool {
	if n := b.waiting.Add(int64(len(bundle.Bytes()))); n > boundedBytes && n > int64(len(bundle.Bytes())) {
		b.waiting.Add(-int64(len(bundle.Bytes())))
		return false
	}
	b.line <- bundle
	return true
}

func (b *bounded) write() {
	for bundle := range b.line {
		time.Sleep(time.Millisecond)
		b.read(bundle)
		b.waiting.Add(-int64(len(bundle.Bytes())))
		bundle.Done("bounded", true)
	}
}

func TestABurstOfLongMessagesDoesNotRemoveWhoReadsWell(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	_, m := n.join(t, "lobby", "ada", -1)
	var writers sync.WaitGroup
	var members []*bounded
	for i := range 4 {
		b := &bounded{line: make(chan *rooms.Bundle, 10_000)}
		writers.Go(b.write)
		members = append(members, b)
		require.NoError(t, outcome(t, n.joining("lobby", fmt.Sprint("member", i), 0, b)))
	}
	const count = 128
	acknowledged := make(chan error, count)
	for range count {
		require.NoError(t, n.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: strings.Repeat("👋", 4096), From: m},
			func(_ *rooms.Message, _ bool, err error) { acknowledged <- err }))
	}
	for range count {
		require.NoError(t, <-acknowledged)
	}
	for _, b := range members {
		requireAll(t, &b.recorder, 1, count)
		require.Empty(t, b.removed)
		close(b.line)
	}
	writers.Wait()
}
