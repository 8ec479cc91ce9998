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
