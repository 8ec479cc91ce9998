package rooms_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// mindful is a Sink that notes, for each event, whether its member's membership had ended by then.
type mindful struct {
	recorder
	member atomic.Pointer[rooms.Member]
	mu     sync.Mutex // guards ended
	ended  []bool
}

func (s *mindful) Push(b *rooms.Bundle) bool {
	s.mu.Lock()
	m := s.member.Load() // nil: it is handed the history
	s.ended = append(s.ended, m != nil && m.Ended())
	s.mu.Unlock()
	return s.recorder.Push(b)
}

func TestAMembershipHasEndedWhenItsMemberHearsThatTheRoomIsDeleted(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	s := &mindful{}
	m, err := n.Join(t.Context(), &rooms.Conn{ID: "ada", Transport: "websocket", Sink: s}, rooms.Join{RoomID: "lobby", ClientID: "ada"})
	require.NoError(t, err)
	s.member.Store(m)
	require.NoError(t, n.send("lobby", "ada", "hello", "", m))
	require.NoError(t, n.DeleteRoom(t.Context(), "lobby"))
	require.Eventually(t, func() bool { return s.kinds()["room_deleted"] == 1 }, waitFor, tick)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, []bool{false, false, true}, s.ended)
}

// subscribed is a Relay that counts the subscriptions that have not been cancelled: a room in memory has one.
type subscribed struct {
	relay.Local
	rooms atomic.Int64
}

func (s *subscribed) Subscribe(ctx context.Context, id string, handle relay.Handler) (func(), error) {
	cancel, err := s.Local.Subscribe(ctx, id, handle)
	if err != nil {
		return nil, err
	}
	s.rooms.Add(1)
	return func() { cancel(); s.rooms.Add(-1) }, nil
}

// Members join and leave, are too slow, and lose their rooms, all at once. Each is counted off once, and empty rooms are not
// kept in memory.
func TestMembershipsAreCountedOffOnceHoweverTheyEnd(t *testing.T) {
	const visitors, each = 8, 30
	ids := []string{"hall", "attic"}
	held := &subscribed{}
	h, err := rooms.NewHub(t.Context(), rooms.Config{Store: openStore(t), Relay: held})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close(context.Background())) })
	n := &node{Hub: h}
	var slow atomic.Int64 // members that were removed because they are slow
	var visiting sync.WaitGroup
	for v := range visitors {
		random := rand.New(rand.NewPCG(uint64(v), 1))
		visiting.Go(func() {
			for i := range each {
				id := ids[random.IntN(len(ids))]
				r := &recorder{}
				m, err := n.Join(context.Background(), &rooms.Conn{ID: fmt.Sprint(v, ".", i), Transport: "websocket", Sink: r},
					rooms.Join{RoomID: id, ClientID: fmt.Sprint("client", random.IntN(visitors/2))})
				if err != nil {
					t.Error(err)
					return
				}
				// The room may be deleted before the message is stored, and the sender may be too slow.
				r.full.Store(random.IntN(3) == 0)
				_ = n.send(id, m.ClientID, "hello", fmt.Sprint("ref", i), m)
				if random.IntN(10) == 0 {
					_ = n.DeleteRoom(context.Background(), id)
				}
				for range 1 + random.IntN(2) {
					if err := n.Leave(context.Background(), m); err != nil {
						t.Error(err)
					}
				}
				r.mu.Lock()
				if len(r.removed) > 1 {
					t.Errorf("a member was removed %d times: %v", len(r.removed), r.removed)
				}
				for _, why := range r.removed {
					if why == rooms.RemovedSlow {
						slow.Add(1)
					}
				}
				r.mu.Unlock()
			}
		})
	}
	visiting.Wait()
	require.Zero(t, n.Counts().Members)
	list, err := n.Rooms(t.Context())
	require.NoError(t, err)
	for _, room := range list {
		require.Zero(t, room.Participants, room.ID)
	}
	require.Positive(t, slow.Load(), "some are too slow")
	require.Eventually(t, func() bool { return held.rooms.Load() == 0 }, waitFor, tick)
}
