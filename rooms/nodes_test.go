package rooms_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
)

// How long these tests wait for a condition, and how often they look.
const (
	nodesWait = 20 * time.Second
	nodesTick = time.Millisecond
)

// network connects the relays of nodes, and decides what happens to events between them.
type network struct {
	nodes []*relay.Local
	// fate returns after how long each copy of an event arrives on another node; none: it is lost.
	fate    func(ev *rooms.Event) []time.Duration
	flights sync.WaitGroup

	mu   sync.Mutex
	kept []func() // arrivals that wait until the next event arrives
}

// behindNext is the delay of an event that the next one overtakes.
const behindNext = time.Duration(-1)

// way is the Relay of one node.
type way struct {
	*relay.Local
	net *network
}

func (w way) Publish(ctx context.Context, ev *rooms.Event) error {
	_ = w.Local.Publish(ctx, ev)
	for _, other := range w.net.nodes {
		if other == w.Local {
			continue
		}
		for _, d := range w.net.fate(ev) {
			copied := *ev
			copied.Relayed, copied.Ref = time.Now(), ""
			if d == behindNext {
				w.net.mu.Lock()
				w.net.kept = append(w.net.kept, func() { _ = other.Publish(context.Background(), &copied) })
				w.net.mu.Unlock()
				continue
			}
			if d == 0 {
				_ = other.Publish(context.Background(), &copied)
				w.net.mu.Lock()
				kept := w.net.kept
				w.net.kept = nil
				w.net.mu.Unlock()
				for _, arrive := range kept {
					arrive()
				}
				continue
			}
			w.net.flights.Add(1)
			time.AfterFunc(d, func() {
				defer w.net.flights.Done()
				_ = other.Publish(context.Background(), &copied)
			})
		}
	}
	return nil
}

// attendance is a Presence that all nodes of a test share.
type attendance struct {
	mu    sync.Mutex
	rooms map[int64]map[string]int
	turns map[int64]int64
}

type share struct {
	*attendance
	told func(rooms.Change)
}

func (s *share) Watch(told func(rooms.Change)) { s.told = told }

func (s *share) Enter(ctx context.Context, p rooms.Participant) <-chan struct{} {
	s.move(ctx, p, 1)
	return nil
}

func (s *share) Exit(ctx context.Context, p rooms.Participant) { s.move(ctx, p, -1) }

func (s *share) move(ctx context.Context, p rooms.Participant, by int) {
	s.mu.Lock()
	clients := s.rooms[p.Generation]
	if clients == nil {
		clients = make(map[string]int)
		s.rooms[p.Generation] = clients
	}
	clients[p.ClientID] += by
	n := clients[p.ClientID]
	if n == 0 {
		delete(clients, p.ClientID)
	}
	turned := by == 1 && n == 1 || by == -1 && n == 0
	if turned {
		s.turns[p.Generation]++
	}
	c := rooms.Change{Ctx: ctx, Participant: p, Entered: by == 1, Participants: len(clients), Turn: s.turns[p.Generation]}
	s.mu.Unlock()
	if turned {
		s.told(c)
	}
}

func (s *share) Forget(generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, generation)
}

func (s *share) Fill(_ context.Context, list []rooms.Room) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		list[i].Participants = len(s.rooms[list[i].Generation])
	}
	return nil
}

func (s *share) Close(context.Context) error { return nil }

// oneByOne is a store for several nodes, in which appends to one room do not overlap. It can fail, and counts reads.
type oneByOne struct {
	rooms.Store
	mu    sync.Mutex
	away  atomic.Bool
	reads atomic.Int64
	// If not nil, each is called once, at the next read with the method.
	beforeNewest, beforeAfter atomic.Pointer[func()]
}

func once(p *atomic.Pointer[func()]) {
	if f := p.Swap(nil); f != nil {
		(*f)()
	}
}

func (s *oneByOne) Newest(ctx context.Context, id string, seq int64, limit int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	once(&s.beforeNewest)
	return s.Store.Newest(ctx, id, seq, limit, most)
}

var errAway = errors.New("the store is away")

func (s *oneByOne) Append(ctx context.Context, id string, drafts []rooms.Draft) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away.Load() {
		return errAway
	}
	return s.Store.Append(ctx, id, drafts)
}

func (s *oneByOne) After(ctx context.Context, id string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	s.reads.Add(1)
	once(&s.beforeAfter)
	if s.away.Load() {
		return nil, false, errAway
	}
	return s.Store.After(ctx, id, seq, most)
}

// nodes starts Hubs that share a store.
func nodes(t *testing.T, count int, fate func(*rooms.Event) []time.Duration) ([]*rooms.Hub, *oneByOne) {
	t.Helper()
	return nodesThatLook(t, 0, count, fate)
}

// seldom is so long a time between two comparisons with the store that no test sees the second.
const seldom = time.Hour

// nodesThatLook is nodes with another time between two comparisons with the store.
func nodesThatLook(t *testing.T, every time.Duration, count int, fate func(*rooms.Event) []time.Duration) ([]*rooms.Hub, *oneByOne) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite://:memory:", store.Options{})
	require.NoError(t, err)
	s := &oneByOne{Store: db}
	net := &network{fate: fate}
	people := &attendance{rooms: make(map[int64]map[string]int), turns: make(map[int64]int64)}
	var hubs []*rooms.Hub
	for range count {
		local := &relay.Local{}
		net.nodes = append(net.nodes, local)
		h, err := rooms.NewHub(t.Context(), rooms.Config{
			Store: s, Relay: way{local, net}, Presence: &share{attendance: people}, LookEvery: every,
		})
		require.NoError(t, err)
		hubs = append(hubs, h)
	}
	t.Cleanup(func() {
		for _, h := range hubs {
			require.NoError(t, h.Close(context.Background()))
		}
		net.flights.Wait()
		require.NoError(t, db.Close())
	})
	return hubs, s
}

// plain is a Format of one readable line for each event.
type plain struct{}

func (plain) Transport() string { return "websocket" }

func (plain) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	switch ev.Kind {
	case rooms.EventMessage:
		return fmt.Appendf(dst, "%d %s %s\n", ev.Message.Seq, ev.Message.Text, ref)
	case rooms.EventHistory:
		for _, m := range ev.History {
			dst = fmt.Appendf(dst, "%d %s \n", m.Seq, m.Text)
		}
		return dst
	}
	return fmt.Appendf(dst, "%s %s %d\n", ev.Kind, ev.ClientID, ev.Participants)
}

// sink keeps the events that a member is sent.
type sink struct {
	mu      sync.Mutex
	text    strings.Builder
	removed []rooms.Removal
}

func (*sink) Format() rooms.Format { return plain{} }

func (s *sink) Push(b *rooms.Bundle) bool {
	s.mu.Lock()
	s.text.Write(b.Bytes())
	s.mu.Unlock()
	b.Done("", true)
	return true
}

func (s *sink) Removed(_ *rooms.Member, why rooms.Removal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = append(s.removed, why)
}

func (s *sink) gone() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.removed)
}

// told returns the lines about messages, and all others.
func (s *sink) told() (messages, others []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.text.String()) {
		if line[0] >= '0' && line[0] <= '9' {
			messages = append(messages, strings.TrimSuffix(line, "\n"))
		} else {
			others = append(others, strings.TrimSuffix(line, "\n"))
		}
	}
	return messages, others
}

func join(t *testing.T, h *rooms.Hub, room, client string) (*rooms.Member, *sink) {
	t.Helper()
	s := &sink{}
	m, err := h.Join(t.Context(), &rooms.Conn{ID: client, Transport: "websocket", Sink: s}, rooms.Join{RoomID: room, ClientID: client})
	require.NoError(t, err)
	return m, s
}

func say(h *rooms.Hub, m *rooms.Member, text string) error {
	done := make(chan error, 1)
	err := h.Send(context.Background(), rooms.Post{
		RoomID: m.RoomID, ClientID: m.ClientID, Text: text, Ref: "ref-" + text, Transport: "websocket", Received: time.Now(), From: m,
	}, func(_ *rooms.Message, _ bool, err error) { done <- err })
	if err != nil {
		return err
	}
	return <-done
}

// at once: an event arrives on all other nodes, in order.
func atOnce(*rooms.Event) []time.Duration { return []time.Duration{0} }

// badly: an event comes late, twice, or never.
func badly(*rooms.Event) []time.Duration {
	switch n := rand.IntN(10); {
	case n < 2:
		return nil
	case n < 3:
		return []time.Duration{time.Millisecond, time.Duration(rand.IntN(40)) * time.Millisecond}
	case n < 6:
		return []time.Duration{0}
	default:
		return []time.Duration{time.Duration(rand.IntN(40)) * time.Millisecond}
	}
}

func TestEveryMemberOfEveryNodeIsShownEveryMessageOnceAndInOrder(t *testing.T) {
	for name, fate := range map[string]func(*rooms.Event) []time.Duration{"all is well": atOnce, "hints are late, repeated and lost": badly} {
		t.Run(name, func(t *testing.T) {
			const perNode, each = 3, 60
			hubs, _ := nodes(t, 3, fate)
			var members []*rooms.Member
			var sinks []*sink
			for n, h := range hubs {
				for i := range perNode {
					m, s := join(t, h, "room", fmt.Sprint("client", n, ".", i))
					members, sinks = append(members, m), append(sinks, s)
				}
			}
			var wg sync.WaitGroup
			for i, m := range members {
				wg.Go(func() {
					for k := range each {
						if err := say(hubs[i/perNode], m, fmt.Sprint(i, ".", k)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			// One joins in the middle, on a node that may lag behind.
			var late *sink
			wg.Go(func() { _, late = join(t, hubs[1], "room", "late") })
			wg.Wait()
			const all = 3 * perNode * each
			want := func(s *sink, from int) bool {
				messages, _ := s.told()
				return len(messages) >= all-from
			}
			for _, s := range sinks {
				require.Eventually(t, func() bool { return want(s, 0) }, nodesWait, nodesTick)
			}
			texts := func(lines []string) (list []string) {
				for _, line := range lines {
					list = append(list, line[:strings.LastIndexByte(line, ' ')])
				}
				return list
			}
			first, _ := sinks[0].told()
			for i, s := range sinks {
				messages, _ := s.told()
				require.Len(t, messages, all)
				require.Equal(t, texts(first), texts(messages))
				acknowledged := 0
				for k, line := range messages {
					var seq int
					var text, ref string
					_, _ = fmt.Sscan(line, &seq, &text, &ref)
					require.Equal(t, k+1, seq)
					if mine := strings.HasPrefix(text, fmt.Sprint(i, ".")); mine {
						require.Equal(t, "ref-"+text, ref, "the sender is told which message it was, however it came by")
						acknowledged++
					} else {
						require.Empty(t, ref)
					}
				}
				require.Equal(t, each, acknowledged)
			}
			messages, _ := late.told()
			var begin int
			_, _ = fmt.Sscan(messages[0], &begin)
			require.Eventually(t, func() bool { return want(late, begin-1) }, nodesWait, nodesTick)
			messages, _ = late.told()
			require.Equal(t, texts(first)[begin-1:], texts(messages))
		})
	}
}

func TestALostHintThatNothingFollowsIsFound(t *testing.T) {
	hubs, _ := nodes(t, 2, func(*rooms.Event) []time.Duration { return nil })
	a, _ := join(t, hubs[0], "room", "a")
	_, s := join(t, hubs[1], "room", "b")
	require.NoError(t, say(hubs[0], a, "lost"))
	require.Eventually(t, func() bool { m, _ := s.told(); return slices.Equal(m, []string{"1 lost "}) }, nodesWait, nodesTick)
}

// When the relay has been away, rooms are compared with the store at once.
func TestWhatWasMissedWhileTheRelayWasAwayIsFoundAtOnce(t *testing.T) {
	hubs, _ := nodesThatLook(t, seldom, 2, func(*rooms.Event) []time.Duration { return nil })
	a, _ := join(t, hubs[0], "room", "a")
	_, s := join(t, hubs[1], "room", "b")
	require.NoError(t, say(hubs[0], a, "lost"))
	hubs[1].CatchUp()
	require.Eventually(t, func() bool { m, _ := s.told(); return slices.Equal(m, []string{"1 lost "}) }, nodesWait, nodesTick)
}

func TestMessagesThatOvertakeEachOtherAreNotReadFromTheStore(t *testing.T) {
	var n atomic.Int64
	hubs, db := nodes(t, 2, func(ev *rooms.Event) []time.Duration {
		if ev.Kind == rooms.EventMessage && n.Add(1)%2 == 1 {
			return []time.Duration{behindNext}
		}
		return []time.Duration{0}
	})
	a, _ := join(t, hubs[0], "room", "a")
	_, s := join(t, hubs[1], "room", "b")
	before := db.reads.Load()
	for i := range 20 {
		require.NoError(t, say(hubs[0], a, fmt.Sprint(2*i)))
		require.NoError(t, say(hubs[0], a, fmt.Sprint(2*i+1)))
		require.Eventually(t, func() bool { m, _ := s.told(); return len(m) == 2*i+2 }, nodesWait, nodesTick)
	}
	require.Less(t, db.reads.Load()-before, int64(10), "a machine that stands still excuses a few")
}

// A message is held because the event of the one before it was lost. A join meanwhile reads both from the store. The sender is still
// told the ref of its message.
func TestJoiningWhileAMessageWaits(t *testing.T) {
	hubs, _ := nodes(t, 2, func(*rooms.Event) []time.Duration { return nil })
	a, _ := join(t, hubs[0], "room", "a")
	b, s := join(t, hubs[1], "room", "b")
	for i := range 10 {
		require.NoError(t, say(hubs[0], a, fmt.Sprint("unheard", i)))
		require.NoError(t, say(hubs[1], b, fmt.Sprint("mine", i)))
		_, late := join(t, hubs[1], "room", fmt.Sprint("late", i))
		messages, _ := late.told()
		require.Len(t, messages, 2*i+2)
		messages, _ = s.told()
		require.Equal(t, []string{fmt.Sprintf("%d unheard%d ", 2*i+1, i), fmt.Sprintf("%d mine%d ref-mine%d", 2*i+2, i, i)}, messages[2*i:])
	}
}

// A client that resumes on a node that has not been told of the newest messages is shown those that it lacks, and none that it has,
// neither on joining nor when the node catches up.
func TestAClientResumesOnANodeThatLagsBehind(t *testing.T) {
	for since := range int64(6) {
		t.Run(fmt.Sprint("since ", since), func(t *testing.T) {
			deaf := atomic.Bool{}
			deaf.Store(true)
			hubs, _ := nodes(t, 2, func(*rooms.Event) []time.Duration {
				if deaf.Load() {
					return nil
				}
				return []time.Duration{0}
			})
			a, _ := join(t, hubs[0], "room", "a")
			_, there := join(t, hubs[1], "room", "b") // keeps the room on that node
			for i := range 5 {
				require.NoError(t, say(hubs[0], a, fmt.Sprint(i+1)))
			}
			s := &sink{}
			_, err := hubs[1].Join(t.Context(), &rooms.Conn{ID: "c", Sink: s}, rooms.Join{RoomID: "room", ClientID: "c", Since: &since})
			require.NoError(t, err)
			deaf.Store(false)
			require.NoError(t, say(hubs[0], a, "6"))
			var want []string
			for seq := since + 1; seq <= 6; seq++ {
				want = append(want, fmt.Sprintf("%d %d ", seq, seq))
			}
			require.Eventually(t, func() bool { messages, _ := s.told(); return len(messages) >= len(want) }, nodesWait, nodesTick)
			require.Eventually(t, func() bool { messages, _ := there.told(); return len(messages) >= 6 }, nodesWait, nodesTick)
			messages, _ := s.told()
			require.Equal(t, want, messages)
		})
	}
}

func TestARoomDeletedElsewhereIsDeletedHere(t *testing.T) {
	for name, fate := range map[string]func(*rooms.Event) []time.Duration{"told": atOnce, "not told": func(*rooms.Event) []time.Duration { return nil }} {
		t.Run(name, func(t *testing.T) {
			hubs, _ := nodes(t, 2, fate)
			a, _ := join(t, hubs[0], "room", "a")
			_, s := join(t, hubs[1], "room", "b")
			require.NoError(t, say(hubs[0], a, "old"))
			require.NoError(t, hubs[0].DeleteRoom(t.Context(), "room"))
			require.Eventually(t, func() bool { return s.gone() == 1 }, nodesWait, nodesTick)
			_, others := s.told()
			require.Equal(t, "room_deleted  0", others[len(others)-1])
			_, err := hubs[1].Room(t.Context(), "room")
			require.ErrorIs(t, err, rooms.ErrNotFound)

			// A join on the node that heard of the deletion last creates it anew, with nothing of the old room.
			b, s := join(t, hubs[1], "room", "b")
			require.NoError(t, say(hubs[1], b, "new"))
			require.Eventually(t, func() bool { m, _ := s.told(); return slices.Equal(m, []string{"1 new ref-new"}) }, nodesWait, nodesTick)
		})
	}
}

// A node gets no events while the room is deleted, created anew and written to on another.
func TestARoomCreatedAnewIsNotTakenForTheOldOne(t *testing.T) {
	var deaf atomic.Bool
	deaf.Store(true)
	hubs, _ := nodesThatLook(t, seldom, 2, func(*rooms.Event) []time.Duration {
		if deaf.Load() {
			return nil
		}
		return []time.Duration{0}
	})
	a, _ := join(t, hubs[0], "room", "a")
	b, old := join(t, hubs[1], "room", "b")
	for i := range 5 {
		require.NoError(t, say(hubs[0], a, fmt.Sprint(i)))
	}
	require.NoError(t, hubs[0].DeleteRoom(t.Context(), "room"))
	a, _ = join(t, hubs[0], "room", "a")
	deaf.Store(false)
	require.NoError(t, say(hubs[0], a, "new"))
	// At once, not only at the next comparison with the store.
	require.Eventually(t, func() bool { return old.gone() == 1 }, nodesWait, nodesTick)
	messages, _ := old.told()
	require.NotContains(t, messages, "1 new ")
	require.NoError(t, hubs[1].Leave(t.Context(), b))

	b, s := join(t, hubs[1], "room", "b")
	require.NoError(t, say(hubs[1], b, "newer"))
	require.NoError(t, say(hubs[0], a, "newest"))
	require.Eventually(t, func() bool {
		m, _ := s.told()
		return slices.Equal(m, []string{"1 new ", "2 newer ref-newer", "3 newest "})
	}, nodesWait, nodesTick)
}

// A node that waits for a missing message finds that the whole room is deleted: nobody is shown the message after it as if
// that were all.
func TestAMessageOfADeletedRoomIsNotShownWithoutThoseBeforeIt(t *testing.T) {
	hubs, db := nodesThatLook(t, seldom, 2, func(ev *rooms.Event) []time.Duration {
		if ev.Kind == rooms.EventMessage && ev.Message.Seq == 2 {
			return []time.Duration{50 * time.Millisecond}
		}
		return nil
	})
	a, _ := join(t, hubs[0], "room", "a")
	_, s := join(t, hubs[1], "room", "b")
	require.NoError(t, say(hubs[0], a, "lost"))
	require.NoError(t, say(hubs[0], a, "late"))
	db.away.Store(true) // until the room is deleted
	require.NoError(t, hubs[0].DeleteRoom(t.Context(), "room"))
	db.away.Store(false)
	require.Eventually(t, func() bool { return s.gone() == 1 }, nodesWait, nodesTick)
	messages, _ := s.told()
	require.Empty(t, messages)
}

// Whoever joins is shown the new room, and members of the old one are told that it is deleted.
func TestJoiningWhileTheRoomIsDeletedAndMadeAnewElsewhere(t *testing.T) {
	for name, moment := range map[string]func(s *oneByOne) *atomic.Pointer[func()]{
		"before its history is read":            func(s *oneByOne) *atomic.Pointer[func()] { return &s.beforeNewest },
		"while the others are shown the newest": func(s *oneByOne) *atomic.Pointer[func()] { return &s.beforeAfter },
	} {
		t.Run(name, func(t *testing.T) {
			hubs, db := nodesThatLook(t, seldom, 2, func(*rooms.Event) []time.Duration { return nil })
			a, _ := join(t, hubs[0], "room", "a")
			_, there := join(t, hubs[1], "room", "b")
			for i := range rooms.HistoryLength + 10 {
				require.NoError(t, say(hubs[0], a, fmt.Sprint("old", i)))
			}
			anew := func() {
				require.NoError(t, hubs[0].DeleteRoom(t.Context(), "room"))
				a, _ = join(t, hubs[0], "room", "a")
				require.NoError(t, say(hubs[0], a, "new"))
			}
			moment(db).Store(&anew)
			_, s := join(t, hubs[1], "room", "c")
			require.NoError(t, say(hubs[0], a, "newer"))
			hubs[1].CatchUp()
			require.Eventually(t, func() bool { m, _ := s.told(); return len(m) >= 2 }, nodesWait, nodesTick)
			messages, _ := s.told()
			require.Equal(t, []string{"1 new ", "2 newer "}, messages)
			require.Equal(t, 1, there.gone())
			messages, _ = there.told()
			require.NotContains(t, messages, "1 new ")
			require.Zero(t, s.gone())
		})
	}
}

// The sender to a room whose deletion the node has not heard of is told, and so are all members on the node.
func TestSendingToARoomDeletedElsewhere(t *testing.T) {
	hubs, _ := nodesThatLook(t, seldom, 2, func(*rooms.Event) []time.Duration { return nil })
	join(t, hubs[0], "room", "a")
	b, s := join(t, hubs[1], "room", "b")
	require.NoError(t, hubs[0].DeleteRoom(t.Context(), "room"))
	require.ErrorIs(t, say(hubs[1], b, "too late"), rooms.ErrNotFound)
	require.Eventually(t, func() bool { return s.gone() == 1 }, nodesWait, nodesTick)
}

func TestParticipantsAreCountedOnAllNodes(t *testing.T) {
	hubs, _ := nodes(t, 3, atOnce)
	var all []*rooms.Member
	_, first := join(t, hubs[0], "room", "first")
	for i := range 6 {
		m, _ := join(t, hubs[i%3], "room", fmt.Sprint("client", i/2)) // two connections each, on two nodes
		all = append(all, m)
	}
	for _, h := range hubs {
		room, err := h.Room(t.Context(), "room")
		require.NoError(t, err)
		require.Equal(t, 4, room.Participants)
		list, err := h.Rooms(t.Context())
		require.NoError(t, err)
		require.Equal(t, 4, list[0].Participants)
	}
	for i, m := range all {
		require.NoError(t, hubs[i%3].Leave(t.Context(), m))
	}
	want := []string{
		"user_joined client0 2", "user_joined client1 3", "user_joined client2 4",
		"user_left client0 3", "user_left client1 2", "user_left client2 1",
	}
	require.Eventually(t, func() bool { _, others := first.told(); return slices.Equal(want, others) }, nodesWait, nodesTick)
}

// Events of several nodes arrive in another order than clients came: the last count is the right one.
func TestTheLastCountIsRight(t *testing.T) {
	hubs, _ := nodes(t, 3, func(ev *rooms.Event) []time.Duration {
		return []time.Duration{time.Duration(1+rand.IntN(30)) * time.Millisecond}
	})
	_, s := join(t, hubs[0], "room", "first")
	const clients = 20
	for i := range clients {
		join(t, hubs[1+i%2], "room", fmt.Sprint(i))
	}
	require.Eventually(t, func() bool { _, others := s.told(); return len(others) == clients }, nodesWait, nodesTick)
	_, others := s.told()
	require.True(t, strings.HasSuffix(others[clients-1], fmt.Sprint(" ", clients+1)), "%v", others)
}

// While the store fails nothing is sent, not even in part; afterwards everything continues.
func TestTheStoreIsAway(t *testing.T) {
	hubs, db := nodes(t, 2, badly)
	a, as := join(t, hubs[0], "room", "a")
	_, bs := join(t, hubs[1], "room", "b")
	require.NoError(t, say(hubs[0], a, "one"))
	db.away.Store(true)
	err := say(hubs[0], a, "two")
	require.ErrorIs(t, err, rooms.ErrUnavailable)
	db.away.Store(false)
	require.NoError(t, say(hubs[0], a, "three"))
	require.Eventually(t, func() bool {
		m, _ := bs.told()
		return slices.Equal(m, []string{"1 one ", "2 three "})
	}, nodesWait, nodesTick)
	require.Eventually(t, func() bool {
		m, _ := as.told()
		return slices.Equal(m, []string{"1 one ref-one", "2 three ref-three"})
	}, nodesWait, nodesTick)
}
