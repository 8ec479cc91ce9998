package rooms_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// hanging is a Store that does not return while it hangs: until its caller's context ends or, if it is deaf, until it is let go.
type hanging struct {
	rooms.Store
	hangs   atomic.Bool
	deaf    bool
	letGo   chan struct{}
	waiting atomic.Int32
	calls   atomic.Int32 // of a store that hangs
	seq     atomic.Int64
}

func (s *hanging) wait(ctx context.Context) error {
	if !s.hangs.Load() {
		return nil
	}
	s.calls.Add(1)
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	if s.deaf {
		<-s.letGo
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *hanging) Append(ctx context.Context, room string, drafts []rooms.Draft) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	// A database of its own, as the memory that appends share must not be used both inside a bubble and outside.
	info, err := s.Room(ctx, room)
	for _, d := range drafts {
		d.Message.Generation, d.Message.Seq = info.Generation, s.seq.Add(1)
	}
	return err
}

func (s *hanging) Newest(ctx context.Context, room string, seq int64, limit int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	if err := s.wait(ctx); err != nil {
		return nil, false, err
	}
	return s.Store.Newest(ctx, room, seq, limit, most)
}

// Whatever the store does, Close returns when its time is up, and everyone who waits gets an answer: nobody gets an
// acknowledgement of a message that is not stored.
func TestAStoreThatHangsDoesNotHoldUpTheEnd(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		t.Run(fmt.Sprintf("deaf %v", deaf), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &hanging{Store: openStore(t), deaf: deaf, letGo: make(chan struct{})}
				hub, err := rooms.NewHub(t.Context(), rooms.Config{Store: s, Relay: &relay.Local{}})
				require.NoError(t, err)
				ada, bob := &recorder{}, &recorder{}
				m, err := hub.Join(t.Context(), &rooms.Conn{ID: "ada", Sink: ada}, rooms.Join{RoomID: "lobby", ClientID: "ada"})
				require.NoError(t, err)
				_, err = hub.Join(t.Context(), &rooms.Conn{ID: "bob", Sink: bob}, rooms.Join{RoomID: "lobby", ClientID: "bob"})
				require.NoError(t, err)

				s.hangs.Store(true)
				const posts, joins = 3, 5
				posted := make(chan error, posts)
				for i := range posts {
					require.NoError(t, hub.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: fmt.Sprint(i), From: m},
						func(_ *rooms.Message, _ bool, err error) { posted <- err }))
					synctest.Wait() // they are stored one by one
				}
				joined, left, deleted := make(chan error, joins), make(chan error, 1), make(chan error, 1)
				for i := range joins {
					go func() {
						id := fmt.Sprint("late", i)
						_, err := hub.Join(context.Background(), &rooms.Conn{ID: id, Sink: &recorder{}}, rooms.Join{RoomID: "lobby", ClientID: id})
						joined <- err
					}()
				}
				go func() { left <- hub.Leave(t.Context(), m) }()
				go func() { deleted <- hub.DeleteRoom(context.Background(), "lobby") }()
				synctest.Wait()
				require.EqualValues(t, 1, s.waiting.Load())

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				err = hub.Close(ctx)
				require.Less(t, time.Since(began), 1500*time.Millisecond)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				for range joins {
					require.ErrorIs(t, <-joined, rooms.ErrUnavailable)
				}
				require.Error(t, <-deleted)
				if err := <-left; deaf {
					require.ErrorIs(t, err, rooms.ErrUnavailable)
				}
				if deaf {
					require.Empty(t, posted)
				} else {
					for range posts {
						require.ErrorIs(t, <-posted, rooms.ErrUnavailable)
					}
					require.Zero(t, s.waiting.Load())
					require.NoError(t, hub.Close(t.Context()), "nothing is under way")
				}
				require.Empty(t, ada.seqs())
				require.Empty(t, bob.seqs())
				close(s.letGo)
				synctest.Wait()
				require.Less(t, time.Since(began), 1500*time.Millisecond)
				require.LessOrEqual(t, s.calls.Load(), int32(1), "the store is not asked for those who have been given up")
			})
		})
	}
}

// Close waits for a store that answers late, but in time: what was in the queue is stored and delivered.
func TestClosingWaitsForTheStoreWhileItHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hanging{Store: openStore(t), deaf: true, letGo: make(chan struct{})}
		hub, err := rooms.NewHub(t.Context(), rooms.Config{Store: s, Relay: &relay.Local{}})
		require.NoError(t, err)
		ada := &recorder{}
		m, err := hub.Join(t.Context(), &rooms.Conn{ID: "ada", Sink: ada}, rooms.Join{RoomID: "lobby", ClientID: "ada"})
		require.NoError(t, err)
		s.hangs.Store(true)
		posted := make(chan error, 1)
		require.NoError(t, hub.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "hello", From: m},
			func(_ *rooms.Message, _ bool, err error) { posted <- err }))
		time.AfterFunc(900*time.Millisecond, func() { close(s.letGo) })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, hub.Close(ctx))
		require.NoError(t, <-posted)
		require.Equal(t, []int64{1}, ada.seqs())
	})
}

// A join whose caller has gone when its turn comes is not carried out.
func TestAJoinIsSkippedWhoseCallerHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hanging{Store: openStore(t), deaf: true, letGo: make(chan struct{})}
		n := newNode(t, s, &relay.Local{}, rooms.Limits{})
		ada, m := n.join(t, "lobby", "ada", -1)
		s.hangs.Store(true)
		posted := make(chan error, 1)
		go func() { posted <- n.send("lobby", "ada", "hello", "", m) }()
		synctest.Wait()
		ctx, goes := context.WithCancel(t.Context())
		joined := make(chan error, 1)
		go func() {
			_, err := n.Join(ctx, &rooms.Conn{ID: "bob", Sink: &recorder{}}, rooms.Join{RoomID: "lobby", ClientID: "bob"})
			joined <- err
		}()
		synctest.Wait()
		goes()
		synctest.Wait()
		require.Empty(t, joined, "it would be a member whom nobody leaves")
		close(s.letGo)
		require.ErrorIs(t, <-joined, rooms.ErrUnavailable)
		require.NoError(t, <-posted)
		require.EqualValues(t, 1, s.calls.Load())
		require.Equal(t, 1, n.Counts().Members)
		require.Zero(t, ada.kinds()["user_joined"])
	})
}
