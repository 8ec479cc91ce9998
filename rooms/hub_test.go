package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// requireAll waits until r has been told of all messages from first to last, and checks that each came once and in order.
func requireAll(t *testing.T, r *recorder, first, last int64) {
	t.Helper()
	require.Eventually(t, func() bool { return r.last() >= last }, waitFor, tick)
	seqs := r.seqs()
	require.Len(t, seqs, int(last-first+1))
	for i, seq := range seqs {
		require.Equal(t, first+int64(i), seq)
	}
}

func TestNothingIsMissedOrRepeatedBetweenHistoryAndLiveMessages(t *testing.T) {
	const senders, each, joiners = 8, 150, 60
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	first, _ := n.join(t, "lobby", "first", -1)
	var wg sync.WaitGroup
	for i := range senders {
		_, m := n.join(t, "lobby", fmt.Sprint("sender", i), -1)
		wg.Go(func() {
			for k := range each {
				if err := n.send("lobby", m.ClientID, fmt.Sprint(k), "", m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	late := make([]*recorder, joiners)
	for i := range late {
		since := int64(-1)
		if i%3 == 0 {
			since = first.last()
		}
		late[i], _ = n.join(t, "lobby", fmt.Sprint("late", i), since)
	}
	wg.Wait()
	requireAll(t, first, 1, senders*each)
	for _, r := range late {
		require.Eventually(t, func() bool { return r.last() == senders*each }, waitFor, tick)
		requireAll(t, r, r.seqs()[0], senders*each)
	}
	require.Equal(t, joiners+senders+1, n.Counts().Members)
}

func TestWhatTheRelayLosesIsReadFromTheStore(t *testing.T) {
	const messages = 400
	s, shared := openStore(t), &relay.Local{}
	a := newNode(t, s, shared, rooms.Limits{})
	flaky := &lossy{to: shared}
	b := newNode(t, s, flaky, rooms.Limits{})
	near, m := a.join(t, "lobby", "near", -1)
	far, _ := b.join(t, "lobby", "far", -1)
	for i := range messages {
		require.NoError(t, a.send("lobby", "near", fmt.Sprint(i), "", m))
	}
	sent := int64(messages)
	// While others send, an event arrives sooner or later.
	require.Eventually(t, func() bool {
		if far.last() >= messages {
			return true
		}
		sent++
		return a.send("lobby", "near", "more", "", m) != nil
	}, waitFor, tick)
	requireAll(t, near, 1, sent)
	told := far.seqs() // events that are still on their way may arrive meanwhile
	require.GreaterOrEqual(t, len(told), messages)
	for i, seq := range told {
		require.EqualValues(t, i+1, seq)
	}
	require.Positive(t, b.caughtUp.Load())
	require.Zero(t, a.caughtUp.Load())
}

func TestAClientThatKnowsMoreThanTheNodeResumesWhereItWas(t *testing.T) {
	s, shared := openStore(t), &relay.Local{}
	a := newNode(t, s, shared, rooms.Limits{})
	flaky := &lossy{to: shared}
	b := newNode(t, s, flaky, rooms.Limits{})
	_, m := a.join(t, "lobby", "ada", -1)
	there, _ := b.join(t, "lobby", "bob", -1)
	flaky.deaf.Store(true)
	for i := range 10 {
		require.NoError(t, a.send("lobby", "ada", fmt.Sprint(i), "", m))
	}
	require.Zero(t, there.last(), "this node has not been told")
	back, _ := b.join(t, "lobby", "cyd", 7) // the other node has shown it seven messages
	requireAll(t, back, 8, 10)
	requireAll(t, there, 1, 10)
	again, _ := b.join(t, "lobby", "dee", 10)
	require.Empty(t, again.seqs())
	beyond, _ := b.join(t, "lobby", "eve", 11)
	requireAll(t, beyond, 1, 10)
}

// Whoever joins is sent a history first, and once, even if it is empty.
func TestAHistoryComesAlsoWhereThereIsNone(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	first, m := n.join(t, "lobby", "ada", -1)
	room, err := n.Room(t.Context(), "lobby")
	require.NoError(t, err)
	none := []told{{Kind: "history", Epoch: room.Epoch}}
	require.Equal(t, none, first.all())
	require.NoError(t, n.send("lobby", "ada", "hello", "", m))
	requireAll(t, first, 1, 1)
	back, _ := n.join(t, "lobby", "bob", 1)
	require.Equal(t, none, back.all())
}

func TestOnlyASendersConnectionIsToldItsRef(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	phone, m := n.join(t, "lobby", "ada", -1)
	laptop, _ := n.join(t, "lobby", "ada", -1)
	bob, _ := n.join(t, "lobby", "bob", -1)
	const each = 50
	var wg sync.WaitGroup
	for i := range each { // enough that some are delivered together
		wg.Go(func() {
			if err := n.send("lobby", "ada", fmt.Sprint(i), fmt.Sprint("ref", i), m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for r, own := range map[*recorder]bool{phone: true, laptop: false, bob: false} {
		requireAll(t, r, 1, each)
		for _, e := range r.all() {
			if e.Kind != "message" {
				continue
			}
			want := ""
			if own {
				want = "ref" + e.Text
			}
			require.Equal(t, want, e.Ref)
		}
	}
}

// counted is a rooms.Format that counts what it encodes; the sinks of countedSink have it.
type counted struct{ encoded *atomic.Int64 }

func (counted) Transport() string { return "websocket" }

func (c counted) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	c.encoded.Add(1)
	return lines{}.Append(dst, ev, ref)
}

type countedSink struct {
	recorder
	format counted
}

func (s *countedSink) Format() rooms.Format { return s.format }

// However many members send at once with refs, each message is encoded once for all, and once for its sender.
func TestMessagesAreEncodedOnceForAllAndOnceForTheirSender(t *testing.T) {
	const senders = 100
	store := &faulty{Store: openStore(t), hold: make(chan struct{})}
	n := newNode(t, store, &relay.Local{}, rooms.Limits{})
	format := counted{new(atomic.Int64)}
	sinks, members := make([]*countedSink, senders), make([]*rooms.Member, senders)
	for i := range senders {
		sinks[i] = &countedSink{format: format}
		var err error
		members[i], err = n.Join(t.Context(), &rooms.Conn{ID: fmt.Sprint(i), Transport: "websocket", Sink: sinks[i]},
			rooms.Join{RoomID: "lobby", ClientID: fmt.Sprint("client", i)})
		require.NoError(t, err)
	}
	joined := format.encoded.Load()
	post := func(i int, text, ref string) {
		require.NoError(t, n.Send(t.Context(), rooms.Post{
			RoomID: "lobby", ClientID: members[i].ClientID, Text: text, Ref: ref, From: members[i],
		}, func(_ *rooms.Message, _ bool, err error) {
			if err != nil {
				t.Error(err)
			}
		}))
	}
	post(0, "held", "first") // while it is being stored, all others come together
	for i := range senders {
		post(i, fmt.Sprint(i), fmt.Sprint("ref", i))
	}
	close(store.hold)
	for i, s := range sinks {
		requireAll(t, &s.recorder, 1, senders+1)
		var refs []string
		for _, e := range s.all() {
			if e.Ref != "" {
				refs = append(refs, e.Ref)
				require.Contains(t, []string{"held", fmt.Sprint(i)}, e.Text)
			}
		}
		if i == 0 {
			require.Equal(t, []string{"first", "ref0"}, refs)
		} else {
			require.Equal(t, []string{fmt.Sprint("ref", i)}, refs)
		}
	}
	// The notice of the last to join may be among them.
	require.LessOrEqual(t, format.encoded.Load()-joined, int64(2*(senders+1)+1))
}

func TestAClientIsOneParticipantHoweverManyItsConnections(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	bob, _ := n.join(t, "lobby", "bob", -1)
	_, one := n.join(t, "lobby", "ada", -1)
	_, two := n.join(t, "lobby", "ada", -1)
	room, err := n.Room(t.Context(), "lobby")
	require.NoError(t, err)
	require.Equal(t, 2, room.Participants)
	require.NoError(t, n.Leave(t.Context(), one))
	require.NoError(t, n.Leave(t.Context(), one), "twice is nothing")
	require.NoError(t, n.Leave(t.Context(), two))
	require.Eventually(t, func() bool { return len(bob.all()) == 3 }, waitFor, tick)
	require.Equal(t, []told{{Kind: "user_joined", Client: "ada", Count: 2}, {Kind: "user_left", Client: "ada", Count: 1}}, bob.all()[1:])
}

func TestAFullQueueRemovesItsMemberAndNoOther(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	bob, m := n.join(t, "lobby", "bob", -1)
	slow, stuck := n.join(t, "lobby", "slow", -1)
	slow.full.Store(true)
	for i := range 5 {
		require.NoError(t, n.send("lobby", "bob", fmt.Sprint(i), "", m))
	}
	requireAll(t, bob, 1, 5)
	require.Equal(t, []rooms.Removal{rooms.RemovedSlow}, slow.removed)

	// The room is deleted and created anew before the slow member leaves: it leaves the old room.
	require.NoError(t, n.DeleteRoom(t.Context(), "lobby"))
	require.Eventually(t, func() bool { return bob.kinds()["room_deleted"] == 1 }, waitFor, tick)
	fresh, _ := n.join(t, "lobby", "slow", -1)
	bob2, m2 := n.join(t, "lobby", "bob2", -1)
	require.NoError(t, n.Leave(t.Context(), stuck))
	require.NoError(t, n.Leave(t.Context(), m))
	require.NoError(t, n.send("lobby", "bob2", "hello", "", m2))
	requireAll(t, fresh, 1, 1)
	requireAll(t, bob2, 1, 1)
	require.Zero(t, bob2.kinds()["user_left"], "nobody has left the new room")
	room, err := n.Room(t.Context(), "lobby")
	require.NoError(t, err)
	require.Equal(t, 2, room.Participants)
	require.Equal(t, 2, n.Counts().Members)
}

// faulty is a Store whose Append waits, or fails.
type faulty struct {
	rooms.Store
	fails atomic.Bool
	hold  chan struct{} // nil: it does not wait
}

func (f *faulty) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if f.hold != nil {
		<-f.hold
	}
	if f.fails.Load() {
		return errors.New("the disk is full")
	}
	return f.Store.Append(ctx, roomID, drafts)
}

func TestWhatIsNotStoredIsNotDelivered(t *testing.T) {
	s := &faulty{Store: openStore(t)}
	n := newNode(t, s, &relay.Local{}, rooms.Limits{})
	bob, m := n.join(t, "lobby", "bob", -1)
	s.fails.Store(true)
	err := n.send("lobby", "bob", "lost", "r", m)
	require.ErrorIs(t, err, rooms.ErrUnavailable)
	require.NotContains(t, rooms.AsError(err).Detail, "disk", "clients are not told of the inside")
	s.fails.Store(false)
	require.NoError(t, n.send("lobby", "bob", "kept", "r", m))
	requireAll(t, bob, 1, 1)
	require.Equal(t, "kept", bob.all()[1].Text)
}

func TestASenderWaitsWhileTheRoomsQueueIsFull(t *testing.T) {
	s := &faulty{Store: openStore(t), hold: make(chan struct{})}
	n := newNode(t, s, &relay.Local{}, rooms.Limits{Queue: 4})
	bob, m := n.join(t, "lobby", "bob", -1)
	var acknowledged atomic.Int32
	post := rooms.Post{RoomID: "lobby", ClientID: "bob", Text: "x", From: m}
	done := func(*rooms.Message, bool, error) { acknowledged.Add(1) }
	for range 4 {
		require.NoError(t, n.Send(t.Context(), post, done))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, n.Send(ctx, post, done))
	require.Zero(t, acknowledged.Load())
	close(s.hold)
	require.NoError(t, n.Send(t.Context(), post, done))
	requireAll(t, bob, 1, 5)
	require.Eventually(t, func() bool { return acknowledged.Load() == 5 }, waitFor, tick)
}

func TestClosingWaitsForWhatIsInTheQueue(t *testing.T) {
	s := &faulty{Store: openStore(t), hold: make(chan struct{})}
	n := newNode(t, s, &relay.Local{}, rooms.Limits{})
	_, m := n.join(t, "lobby", "bob", -1)
	var stored atomic.Int32
	for range 10 {
		require.NoError(t, n.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "bob", Text: "x", From: m}, func(_ *rooms.Message, _ bool, err error) {
			if err == nil {
				stored.Add(1)
			}
		}))
	}
	closed := make(chan error, 1)
	go func() { closed <- n.Close(t.Context()) }()
	require.Eventually(t, func() bool { return n.Ping(t.Context()) != nil }, waitFor, tick)
	require.ErrorIs(t, n.send("lobby", "bob", "late", "", m), rooms.ErrUnavailable)
	_, err := n.Join(t.Context(), &rooms.Conn{ID: "x", Sink: &recorder{}}, rooms.Join{RoomID: "lobby", ClientID: "cyd"})
	require.ErrorIs(t, err, rooms.ErrUnavailable)
	require.ErrorIs(t, n.Ping(t.Context()), rooms.ErrUnavailable)
	require.Empty(t, closed)
	close(s.hold)
	require.NoError(t, <-closed)
	require.NoError(t, n.Close(t.Context()))
	require.EqualValues(t, 10, stored.Load())
}

func TestARoomThatNobodyNeedsIsForgotten(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	for round := range 50 { // joining and leaving at once, so that rooms retire while others come
		var wg sync.WaitGroup
		for i := range 4 {
			_, m := n.join(t, "lobby", fmt.Sprint("client", i), -1)
			wg.Go(func() {
				if err := n.send("lobby", m.ClientID, "x", "", m); err != nil {
					t.Error(err)
				}
				if err := n.Leave(context.Background(), m); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		room, err := n.Room(t.Context(), "lobby")
		require.NoError(t, err)
		require.EqualValues(t, 4*(round+1), room.LastSeq)
		require.Zero(t, room.Participants)
		require.Zero(t, n.Counts().Members)
	}
}

func TestTheNumberOfRoomsIsBounded(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{Rooms: 2})
	for _, id := range []string{"one", "two"} {
		_, created, err := n.CreateRoom(t.Context(), id, "")
		require.NoError(t, err)
		require.True(t, created)
	}
	_, _, err := n.CreateRoom(t.Context(), "three", "")
	require.Equal(t, rooms.CodeLimit, rooms.AsError(err).Code)
	_, err = n.Join(t.Context(), &rooms.Conn{ID: "x", Sink: &recorder{}}, rooms.Join{RoomID: "three", ClientID: "ada"})
	require.Equal(t, rooms.CodeLimit, rooms.AsError(err).Code)
	_, created, err := n.CreateRoom(t.Context(), "two", "")
	require.NoError(t, err)
	require.False(t, created)
	require.NoError(t, n.DeleteRoom(t.Context(), "one"))
	_, _, err = n.CreateRoom(t.Context(), "three", "")
	require.NoError(t, err)
}

func FuzzChecksLetThroughOnlyWhatTheContractAllows(f *testing.F) {
	for _, s := range []string{"general", "", "a b", "é", "a/b", "\x00", "\xff", "A-z_0.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if rooms.CheckID("id", s) == nil {
			require.Regexp(t, `\A[A-Za-z0-9_.-]{1,64}\z`, s)
		}
		if rooms.CheckText("text", s, 8) == nil {
			require.LessOrEqual(t, len([]rune(s)), 8)
			require.NotContains(t, s, "\x00")
			require.Equal(t, s, string([]rune(s)), "UTF-8")
		}
	})
}
