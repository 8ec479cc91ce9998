package rooms_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// late is a Store that calls during before it returns its next answer, and then sets it to nil.
type late struct {
	rooms.Store
	during atomic.Pointer[func()]
}

func (l *late) wait() {
	if during := l.during.Swap(nil); during != nil {
		(*during)()
	}
}

func (l *late) Rooms(ctx context.Context) ([]rooms.Room, error) {
	list, err := l.Store.Rooms(ctx)
	l.wait()
	return list, err
}

func (l *late) Heads(ctx context.Context, ids []string) (map[string]rooms.Head, int, error) {
	heads, n, err := l.Store.Heads(ctx, ids)
	l.wait()
	return heads, n, err
}

func (l *late) CreateRoom(ctx context.Context, room rooms.Room) (rooms.Room, bool, error) {
	room, created, err := l.Store.CreateRoom(ctx, room)
	l.wait()
	return room, created, err
}

func (l *late) DeleteRoom(ctx context.Context, id string) (int64, error) {
	generation, err := l.Store.DeleteRoom(ctx, id)
	l.wait()
	return generation, err
}

// The number of rooms, which the limit depends on, is right after any two operations at once.
func TestRoomsAreCountedRightWhileTheyAreListed(t *testing.T) {
	create := func(t *testing.T, h *rooms.Hub, id string) {
		_, created, err := h.CreateRoom(t.Context(), id, "")
		require.NoError(t, err)
		require.True(t, created)
	}
	list := func(t *testing.T, h *rooms.Hub) {
		_, err := h.Rooms(t.Context())
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		first, during func(t *testing.T, h *rooms.Hub)
		want          int
	}{
		"created while listing":         {list, func(t *testing.T, h *rooms.Hub) { create(t, h, "new") }, 3},
		"deleted while listing":         {list, func(t *testing.T, h *rooms.Hub) { require.NoError(t, h.DeleteRoom(t.Context(), "one")) }, 1},
		"listed while creating":         {func(t *testing.T, h *rooms.Hub) { create(t, h, "new") }, list, 3},
		"listed while deleting":         {func(t *testing.T, h *rooms.Hub) { require.NoError(t, h.DeleteRoom(t.Context(), "one")) }, list, 1},
		"listed twice at the same time": {list, list, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &late{Store: openStore(t)}
			n := newNode(t, s, &relay.Local{}, rooms.Limits{})
			create(t, n.Hub, "one")
			create(t, n.Hub, "two")
			during := func() { c.during(t, n.Hub) }
			s.during.Store(&during)
			c.first(t, n.Hub)
			require.Nil(t, s.during.Load())
			require.Equal(t, c.want, n.Counts().Rooms)
		})
	}
}

// A node that compares itself with the store counts rooms of other nodes, and does not forget those that it creates meanwhile.
func TestRoomsAreCountedRightWhileANodeLooks(t *testing.T) {
	s := &late{Store: openStore(t)}
	_, _, err := s.CreateRoom(t.Context(), rooms.Room{ID: "theirs", Name: "theirs"})
	require.NoError(t, err)
	h, err := rooms.NewHub(t.Context(), rooms.Config{
		Store: s, Relay: &relay.Local{}, LookEvery: seldom,
		Presence: &share{attendance: &attendance{rooms: make(map[int64]map[string]int), turns: make(map[int64]int64)}},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close(context.Background())) }()
	require.Equal(t, 1, h.Counts().Rooms)
	looked := make(chan struct{})
	during := func() {
		defer close(looked)
		if _, _, err := h.CreateRoom(context.Background(), "ours", ""); err != nil {
			t.Error(err)
		}
	}
	s.during.Store(&during)
	h.CatchUp()
	<-looked
	// When a second comparison has begun, the result of the first has been used, or ignored.
	after := make(chan int, 1)
	second := func() { after <- h.Counts().Rooms }
	s.during.Store(&second)
	h.CatchUp()
	require.Equal(t, 2, <-after)
	_, _, err = s.CreateRoom(t.Context(), rooms.Room{ID: "theirs too", Name: "theirs too"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { h.CatchUp(); return h.Counts().Rooms == 3 }, waitFor, tick)
}

// However many rooms are created at once, there are as many in the end as the limit, and no more.
func TestTheNumberOfRoomsIsBoundedAmongManyAtOnce(t *testing.T) {
	const most, at = 5, 8
	s := openStore(t)
	n := newNode(t, s, &relay.Local{}, rooms.Limits{Rooms: most})
	for round := range 20 {
		var wg sync.WaitGroup
		var created atomic.Int32
		for i := range at {
			wg.Go(func() {
				// Each is created twice: the second call finds it, and is not refused.
				for range 2 {
					wg.Go(func() {
						switch _, is, err := n.CreateRoom(context.Background(), fmt.Sprintf("room-%d-%d", round, i), ""); {
						case is:
							created.Add(1)
						case err != nil && rooms.AsError(err).Code != rooms.CodeLimit:
							t.Error(err)
						}
					})
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, most, created.Load())
		list, err := s.Rooms(t.Context())
		require.NoError(t, err)
		require.Len(t, list, most)
		require.Equal(t, most, n.Counts().Rooms)
		for _, room := range list {
			require.NoError(t, n.DeleteRoom(t.Context(), room.ID))
		}
	}
}
