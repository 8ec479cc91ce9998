package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/rooms/store/storetest"
)

// cpu returns the CPU time that this process has used.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkAppend measures appends of one room, one after the other, each of 1, 8 or 64 messages.
func BenchmarkAppend(b *testing.B) {
	for _, synchronous := range []string{"normal", "full"} {
		for _, size := range []int{1, 8, 64} {
			b.Run(fmt.Sprint(synchronous, "/", size), func(b *testing.B) {
				s := open(b, "sqlite://"+filepath.Join(b.TempDir(), "bench.db")+"?synchronous="+synchronous)
				defer s.Close()
				storetest.CreateRoom(b, s, "general")
				benchAppend(b, s, "general", size, nil)
			})
		}
	}
}

// BenchmarkAppendRefs is BenchmarkAppend with a ref for each message: all new, or one in each append taken.
func BenchmarkAppendRefs(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		n := 0
		name := func(d *rooms.Draft) {
			n++
			d.Ref = strconv.Itoa(n)
		}
		for kind, name := range map[string]func(int, *rooms.Draft){
			"new": func(_ int, d *rooms.Draft) { name(d) },
			"repeated": func(i int, d *rooms.Draft) {
				if name(d); i == 0 {
					d.Ref = "again"
				}
			},
		} {
			b.Run(fmt.Sprint(kind, "/", size), func(b *testing.B) {
				s := open(b, "sqlite://"+filepath.Join(b.TempDir(), "bench.db"))
				defer s.Close()
				storetest.CreateRoom(b, s, "general")
				benchAppend(b, s, "general", size, name)
			})
		}
	}
}

func benchAppend(b *testing.B, s rooms.Store, room string, size int, name func(i int, d *rooms.Draft)) {
	ctx := context.Background()
	drafts := make([]rooms.Draft, size)
	for i := range drafts {
		m := storetest.NewMessage(room, strings.Repeat("x", 64))
		m.Trace.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		drafts[i] = rooms.Draft{Ctx: ctx, Message: m}
	}
	used, slowest := cpu(), time.Duration(0)
	b.ReportAllocs() // one a message is its id
	for b.Loop() {
		if name != nil {
			for i := range drafts {
				name(i, &drafts[i])
			}
		}
		start := time.Now()
		require.NoError(b, s.Append(ctx, room, drafts))
		slowest = max(slowest, time.Since(start))
	}
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N*size)/1000, "cpu-µs/message")
	b.ReportMetric(float64(slowest.Microseconds()), "slowest-µs")
}

// BenchmarkAppendRooms measures 64 rooms that append a message each at the same time.
func BenchmarkAppendRooms(b *testing.B) {
	benchRooms(b, "sqlite://"+filepath.Join(b.TempDir(), "bench.db"))
}

func benchRooms(b *testing.B, url string) {
	var batches atomic.Int64
	s, err := Open(b.Context(), url, Options{BatchCommitted: func(int) { batches.Add(1) }})
	require.NoError(b, err)
	defer s.Close()
	const count = 64
	for r := range count {
		storetest.CreateRoom(b, s, fmt.Sprint("room", r))
	}
	used := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for r := range count {
		wg.Go(func() {
			id := fmt.Sprint("room", r)
			for range b.N / count {
				if err := s.Append(b.Context(), id, []rooms.Draft{{Message: storetest.NewMessage(id, strings.Repeat("x", 64))}}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N)/1000, "cpu-µs/message")
	b.ReportMetric(float64(b.N)/float64(batches.Load()), "messages/batch")
}

// BenchmarkNewest measures what a join reads: the newest 100 of 100,000 messages.
func BenchmarkNewest(b *testing.B) {
	s := open(b, "sqlite://"+filepath.Join(b.TempDir(), "bench.db"))
	defer s.Close()
	storetest.CreateRoom(b, s, "general")
	texts := slices.Repeat([]string{strings.Repeat("x", 64)}, 1000)
	for range 100 {
		storetest.Append(b, s, "general", texts...)
	}
	b.ReportAllocs()
	for b.Loop() {
		messages, _, err := s.Newest(b.Context(), "general", 0, 100, rooms.ReadLimit{Messages: 256, Bytes: 64 << 10})
		require.NoError(b, err)
		require.Len(b, messages, 100)
	}
}

// BenchmarkPostgres is BenchmarkAppend and BenchmarkAppendRooms on PostgreSQL. Its own CPU is not counted.
func BenchmarkPostgres(b *testing.B) {
	server := pgtest.Start(b, "fsync=on", "shared_buffers=256MB")
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, server.Database(b))
			defer s.Close()
			storetest.CreateRoom(b, s, "general")
			benchAppend(b, s, "general", size, nil)
		})
	}
	b.Run("rooms", func(b *testing.B) { benchRooms(b, server.Database(b)) })
}
