package rooms_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
)

// oneByte is a Format that costs nothing; reader is the Sink of a member that is written everything at once.
type (
	oneByte struct{}
	reader  struct{ id string }
)

func (oneByte) Transport() string                                  { return "websocket" }
func (oneByte) Append(dst []byte, _ *rooms.Event, _ string) []byte { return append(dst, 'x') }
func (reader) Format() rooms.Format                                { return oneByte{} }
func (reader) Removed(*rooms.Member, rooms.Removal)                {}
func (r reader) Push(b *rooms.Bundle) bool                         { b.Done(r.id, true); return true }

// batches is a Store that counts its appends.
type batches struct {
	rooms.Store
	appends atomic.Int64
}

func (b *batches) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	b.appends.Add(1)
	return b.Store.Append(ctx, roomID, drafts)
}

// BenchmarkRoom measures a room of 8 members on SQLite. An operation is a message.
//
// lively: each of 5 members has 2 messages on their way, and sends the next when one has been stored and published. Waiting for others
// (queue.gather) shows in messages/append, memory that is used again in B/op and allocs/op.
//
// calm: a member sends a message every 0.3 ms, so that the room has nothing to do between two of them. A goroutine that rests
// (queue.rest) shows in cpu-µs/op.
func BenchmarkRoom(b *testing.B) {
	b.Run("lively", func(b *testing.B) { benchRoom(b, 5, 2, 0) })
	b.Run("calm", func(b *testing.B) { benchRoom(b, 1, 1, 300*time.Microsecond) })
}

func benchRoom(b *testing.B, senders, outstanding int, pause time.Duration) {
	s, err := store.Open(b.Context(), "sqlite://"+filepath.Join(b.TempDir(), "bench.db"), store.Options{})
	require.NoError(b, err)
	defer s.Close()
	counted := &batches{Store: s}
	h, err := rooms.NewHub(b.Context(), rooms.Config{Store: counted, Relay: &relay.Local{}})
	require.NoError(b, err)
	defer func() { require.NoError(b, h.Close(context.Background())) }()
	var members []*rooms.Member
	for i := range 8 {
		id := fmt.Sprint("conn", i)
		m, err := h.Join(b.Context(), &rooms.Conn{ID: id, Transport: "websocket", Sink: reader{id}}, rooms.Join{RoomID: "general", ClientID: id})
		require.NoError(b, err)
		members = append(members, m)
	}
	text := strings.Repeat("x", 64)
	var left atomic.Int64
	left.Store(int64(b.N))
	used := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range senders * outstanding {
		wg.Go(func() {
			m, done := members[i%senders], make(chan error, 1)
			post := rooms.Post{RoomID: "general", ClientID: m.ClientID, Text: text, Transport: "websocket", From: m}
			answer := func(_ *rooms.Message, _ bool, err error) { done <- err }
			for left.Add(-1) >= 0 {
				err := h.Send(b.Context(), post, answer)
				if err == nil {
					err = <-done
				}
				if err != nil {
					b.Error(err)
				}
				if pause > 0 {
					time.Sleep(pause)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
	b.ReportMetric(float64(b.N)/float64(counted.appends.Load()), "messages/append")
}

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
