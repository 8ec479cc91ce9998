package web

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// swift deletes a room as soon as somebody has joined it, before the join is answered, once.
type swift struct {
	rooms.Service
	done atomic.Bool
}

func (s *swift) Join(ctx context.Context, conn *rooms.Conn, req rooms.Join) (*rooms.Member, error) {
	m, err := s.Service.Join(ctx, conn, req)
	if err == nil && s.done.CompareAndSwap(false, true) {
		err = s.DeleteRoom(ctx, req.RoomID)
	}
	return m, err
}

// A join of a room that was deleted meanwhile leaves nothing behind that the next join could be taken for.
func TestSocketIOJoinOfARoomThatIsDeletedMeanwhile(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, func(next rooms.Service) rooms.Service { return &swift{Service: next} })
	c := stockclient.Start(t).Open(d.url, nil)
	for _, want := range [][]string{{"room_deleted", "joined"}, {"joined"}} {
		c.Emit("join", "general")
		// A room hears of its deletion by the relay, maybe after whoever deleted it was answered: either event may come first.
		var came []string
		for range want {
			came = append(came, c.Await("event").Name)
		}
		require.ElementsMatch(t, want, came)
	}
	list, err := d.cfg.Service.Rooms(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, 1, list[0].Participants)
}

// sudden deletes a room when somebody leaves it, just before, once.
type sudden struct {
	rooms.Service
	done atomic.Bool
}

func (s *sudden) Leave(ctx context.Context, m *rooms.Member) error {
	if s.done.CompareAndSwap(false, true) {
		if err := s.DeleteRoom(ctx, m.RoomID); err != nil {
			return err
		}
	}
	return s.Service.Leave(ctx, m)
}

// Who joins a room again as another client while the room is deleted is in the room that is made anew, until it goes.
func TestSocketIORejoinOfARoomThatIsDeletedMeanwhile(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, func(next rooms.Service) rooms.Service { return &sudden{Service: next} })
	c := stockclient.Start(t).Open(d.url, nil)
	for _, client := range []string{"ada", "bob"} {
		c.Emit("join", map[string]string{"chatroom_id": "general", "user_id": client})
		for c.Await("event").Name != "joined" {
		}
	}
	participants := func() int {
		list, err := d.cfg.Service.Rooms(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0].Participants
	}
	require.Equal(t, 1, participants())
	c.Emit("leave", map[string]string{"chatroom_id": "general", "user_id": "bob"})
	for c.Await("event").Name != "left" {
	}
	require.Zero(t, participants())
}
