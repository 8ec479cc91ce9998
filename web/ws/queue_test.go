package ws_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/workers"
	"github.com/traceroom/traceroom/web/ws"
)

// item counts what became of it.
type item struct {
	p             []byte
	written, lost atomic.Int32
	late          atomic.Int32
}

func (i *item) Bytes() []byte { return i.p }
func (i *item) Len() int      { return 1 }
func (i *item) Late(string)   { i.late.Add(1) }
func (i *item) Done(_ string, written bool) {
	if written {
		i.written.Add(1)
	} else {
		i.lost.Add(1)
	}
}

func newPool(t *testing.T) *workers.Pool {
	t.Helper()
	p := workers.NewPool(2, time.Second)
	t.Cleanup(p.Close)
	return p
}

func TestEachPushersItemsArriveOnceInOrder(t *testing.T) {
	pool := newPool(t)
	server, client := tcp(t)
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 1 << 20})
	t.Cleanup(q.Close)
	const pushers, each = 8, 5000
	items := make([][]*item, pushers)
	var wg sync.WaitGroup
	for p := range pushers {
		items[p] = make([]*item, each)
		wg.Go(func() {
			for i := range each {
				b := binary.BigEndian.AppendUint32(nil, uint32(p))
				items[p][i] = &item{p: binary.BigEndian.AppendUint32(b, uint32(i))}
				if !q.Push(items[p][i]) {
					t.Errorf("push %d of %d refused", i, p)
				}
			}
		})
	}
	var next [pushers]uint32
	b := make([]byte, 8)
	for range pushers * each {
		_, err := io.ReadFull(client, b)
		require.NoError(t, err)
		p := binary.BigEndian.Uint32(b)
		require.Equal(t, next[p], binary.BigEndian.Uint32(b[4:]))
		next[p]++
	}
	wg.Wait()
	for _, of := range items {
		for _, it := range of {
			require.Eventually(t, func() bool { return it.written.Load() == 1 }, 5*time.Second, time.Millisecond)
			require.Zero(t, it.lost.Load())
		}
	}
}

// fill pushes items of size bytes until the queue refuses one.
func fill(t *testing.T, q *ws.Queue, size int) []*item {
	t.Helper()
	var items []*item
	for {
		it := &item{p: bytes.Repeat([]byte{byte(len(items))}, size)}
		if !q.Push(it) {
			return items
		}
		items = append(items, it)
		require.Less(t, len(items), 100_000, "the queue has no bound")
	}
}

func TestAPeerThatDoesNotReadFillsItsQueueAndNoOther(t *testing.T) {
	pool := workers.NewPool(1, time.Second)
	t.Cleanup(pool.Close)
	server, _ := tcp(t)
	q := ws.NewQueue(pool, "slow", server, &ws.Limits{Items: 16})
	t.Cleanup(q.Close)
	items := fill(t, q, 1<<20)
	require.Eventually(t, func() bool { return items[len(items)-17].late.Load() <= 1 }, time.Second, time.Millisecond)

	server2, client2 := tcp(t)
	q2 := ws.NewQueue(pool, "quick", server2, &ws.Limits{Items: 16})
	t.Cleanup(q2.Close)
	require.True(t, q2.Push(&item{p: []byte("through")}))
	b := make([]byte, 7)
	_, err := io.ReadFull(client2, b)
	require.NoError(t, err)

	q.Close()
	for i, it := range items {
		require.Eventually(t, func() bool { return it.written.Load()+it.lost.Load() == 1 }, 5*time.Second, time.Millisecond, i)
	}
	require.Positive(t, items[len(items)-1].lost.Load())
	require.False(t, q.Push(&item{p: []byte("x")}))
}

func TestFinishWritesWhatWaitsThenTheLastWord(t *testing.T) {
	pool := newPool(t)
	server, client := tcp(t)
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 4096})
	items := fill(t, q, 4096)
	q.Finish([]byte("bye"), 10*time.Second)
	require.False(t, q.Push(&item{p: []byte("late")}))
	q.ReadDone()
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Len(t, got, len(items)*4096+3)
	require.Equal(t, "bye", string(got[len(got)-3:]))
}

func TestAbortKeepsTheBorderOfAFrame(t *testing.T) {
	pool := newPool(t)
	server, client := tcp(t)
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 8})
	items := fill(t, q, 1<<20)
	q.Abort([]byte("bye"), 10*time.Second)
	q.ReadDone()
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, 3, len(got)%(1<<20), "the last word stands in the middle of an item")
	require.Equal(t, "bye", string(got[len(got)-3:]))
	require.Less(t, len(got)/(1<<20), len(items), "nothing was dropped")
	for _, it := range items {
		require.Eventually(t, func() bool { return it.written.Load()+it.lost.Load() == 1 }, 5*time.Second, time.Millisecond)
	}
}

func TestGraceEndsAConnectionThatTakesNothing(t *testing.T) {
	pool := newPool(t)
	server, _ := tcp(t)
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 8})
	items := fill(t, q, 1<<20)
	q.Finish([]byte("bye"), 10*time.Millisecond)
	for _, it := range items {
		require.Eventually(t, func() bool { return it.written.Load()+it.lost.Load() == 1 }, 5*time.Second, time.Millisecond)
	}
}

func TestAConnectionThatIsNoSocket(t *testing.T) {
	pool := newPool(t)
	server, client := net.Pipe()
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 8})
	for range 3 {
		require.True(t, q.Push(&item{p: []byte("abc")}))
	}
	q.Finish([]byte("."), time.Minute)
	q.ReadDone()
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "abcabcabc.", string(got))
}

// blocking is an item whose Done keeps the writer busy.
type blocking struct {
	item
	entered, leave chan struct{}
}

func (b *blocking) Done(string, bool) { close(b.entered); <-b.leave }

func TestWhatIsPushedWhileAPeerIsSlowComesAfterWhatWaited(t *testing.T) {
	pool := workers.NewPool(1, time.Second)
	t.Cleanup(pool.Close)
	hold := &blocking{item{p: []byte("x")}, make(chan struct{}), make(chan struct{})}
	server, client := net.Pipe()
	t.Cleanup(func() { client.Close() })
	q := ws.NewQueue(pool, "slow", server, &ws.Limits{Items: 64})
	t.Cleanup(q.Close)
	const size = 70_000 // each is a write of its own
	var items []*item
	push := func() {
		it := &item{p: bytes.Repeat([]byte{'a' + byte(len(items))}, size)}
		items = append(items, it)
		require.True(t, q.Push(it))
	}
	read := func() string {
		b := make([]byte, size)
		_, err := io.ReadFull(client, b)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat(b[:1], size), b)
		return string(b[:1])
	}

	// The writer is held so that it finds the first four together; the peer takes nothing until it is asked.
	server2, _ := tcp(t)
	q2 := ws.NewQueue(pool, "hold", server2, &ws.Limits{Items: 8})
	t.Cleanup(q2.Close)
	require.True(t, q2.Push(hold))
	<-hold.entered
	for range 4 {
		push()
	}
	close(hold.leave)
	got := read()
	require.Eventually(t, func() bool { return items[0].written.Load() == 1 }, 5*time.Second, time.Millisecond)
	for range 3 {
		push()
	}
	for range 6 {
		got += read()
	}
	require.Equal(t, "abcdefg", got)
	for _, it := range items {
		require.Eventually(t, func() bool { return it.written.Load() == 1 }, 5*time.Second, time.Millisecond)
	}
}

// A writer's memory is used for one connection after the other: what a slow peer has yet to be written must not be in it.
func TestWhatAPeerIsWrittenIsItsOwn(t *testing.T) {
	pool := workers.NewPool(1, time.Second)
	t.Cleanup(pool.Close)
	hold := &blocking{item{p: []byte("x")}, make(chan struct{}), make(chan struct{})}
	queue := func() (*ws.Queue, net.Conn) {
		server, client := net.Pipe()
		q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 64})
		t.Cleanup(func() { q.Close(); client.Close() })
		return q, client
	}
	server, _ := tcp(t)
	first := ws.NewQueue(pool, "hold", server, &ws.Limits{Items: 8})
	t.Cleanup(first.Close)
	require.True(t, first.Push(hold))
	<-hold.entered
	// The writer finds what waits for each together. Of the slow peer's, no two fit in one write.
	slow, slowPeer := queue()
	other, otherPeer := queue()
	for range 2 {
		require.True(t, slow.Push(&item{p: bytes.Repeat([]byte("slow"), 10_000)}))
	}
	for range 3 {
		require.True(t, other.Push(&item{p: bytes.Repeat([]byte("other"), 1000)}))
	}
	close(hold.leave)
	b := make([]byte, 15_000)
	_, err := io.ReadFull(otherPeer, b)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte("other"), 3000), b)
	b = make([]byte, 80_000)
	_, err = io.ReadFull(slowPeer, b)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte("slow"), 20_000), b)
}

func BenchmarkPushToWritten(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(b, err)
	server, err := l.Accept()
	require.NoError(b, err)
	pool := workers.NewPool(1, time.Second)
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 1 << 20})
	it := &item{p: make([]byte, 128)}
	b.ReportAllocs()
	b.SetBytes(128)
	go func() {
		for range b.N {
			for !q.Push(it) {
			}
		}
	}()
	_, err = io.CopyN(io.Discard, client, int64(b.N)*128)
	require.NoError(b, err)
	q.Close()
	pool.Close()
	client.Close()
}

// plug is an item that fills the queue of a peer that does not read: it is being written, and will not be written in full.
func plug(t *testing.T, q *ws.Queue) *item {
	t.Helper()
	it := &item{p: make([]byte, 32<<20)}
	require.True(t, q.Push(it), "an item heavier than all fits an empty queue")
	require.Eventually(t, func() bool { return it.late.Load() == 1 }, 5*time.Second, time.Millisecond)
	return it
}

func TestAQueueIsBoundedInBytesToo(t *testing.T) {
	pool := newPool(t)
	server, client := net.Pipe()
	t.Cleanup(func() { client.Close() })
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Items: 100, Bytes: 1000})
	t.Cleanup(q.Close)
	first := &item{p: make([]byte, 600)}
	require.True(t, q.Push(first))
	require.False(t, q.Push(&item{p: make([]byte, 401)}))
	require.True(t, q.Push(&item{p: make([]byte, 400)}))
	require.False(t, q.Push(&item{p: make([]byte, 1)}))
	require.True(t, q.Push(weightless("ping")), "it takes up nothing")
	_, err := io.ReadFull(client, make([]byte, 1004))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return q.Push(&item{p: make([]byte, 1001)}) }, 5*time.Second, time.Millisecond,
		"an item heavier than all fits an empty queue")
	require.False(t, q.Push(&item{p: make([]byte, 1)}))
}

// weightless is an Item of Len 0.
type weightless string

func (w weightless) Bytes() []byte   { return []byte(w) }
func (weightless) Len() int          { return 0 }
func (weightless) Done(string, bool) {}
func (weightless) Late(string)       {}

func TestWhoTakesNothingIsClosed(t *testing.T) {
	for name, ends := range map[string]func(*testing.T) (net.Conn, net.Conn){
		"a socket": func(t *testing.T) (net.Conn, net.Conn) { return tcp(t) },
		"a pipe":   func(*testing.T) (net.Conn, net.Conn) { return net.Pipe() },
	} {
		t.Run(name, func(t *testing.T) {
			pool := newPool(t)
			server, client := ends(t)
			t.Cleanup(func() { client.Close() })
			q := ws.NewQueue(pool, "c", server, &ws.Limits{Stall: 50 * time.Millisecond})
			t.Cleanup(q.Close)
			it := plug(t, q)
			waiting := &item{p: []byte("x")}
			require.True(t, q.Push(waiting) || !q.Open())
			require.Eventually(t, func() bool { return it.lost.Load() == 1 }, 5*time.Second, time.Millisecond)
			require.Eventually(t, q.Stalled, 5*time.Second, time.Millisecond)
			require.Eventually(t, func() bool { return !q.Open() }, 5*time.Second, time.Millisecond)
			require.Zero(t, waiting.written.Load())
		})
	}
}

// A peer that takes a little now and then is not cut however long the whole takes.
func TestWhoTakesALittleNowAndThenIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := workers.NewPool(1, time.Second)
		server, client := net.Pipe()
		q := ws.NewQueue(pool, "c", server, &ws.Limits{Stall: 15 * time.Second})
		it := &item{p: make([]byte, 100)}
		require.True(t, q.Push(it))
		for range 100 {
			time.Sleep(14 * time.Second)
			_, err := client.Read(make([]byte, 1))
			require.NoError(t, err)
		}
		synctest.Wait()
		require.EqualValues(t, 1, it.written.Load())
		time.Sleep(time.Hour)
		require.True(t, q.Open(), "a peer that has taken all may be quiet for as long as it likes")
		require.True(t, q.Push(&item{p: []byte("x")}))
		_, err := client.Read(make([]byte, 1))
		require.NoError(t, err)

		it = &item{p: make([]byte, 100)}
		require.True(t, q.Push(it))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.True(t, q.Stalled())
		require.False(t, q.Open())
		require.EqualValues(t, 1, it.lost.Load())
		pool.Close()
	})
}

// After it was slow a connection is written to without waiting again, whatever the time: the deadline is gone.
func TestWhoWasSlowIsWrittenToLater(t *testing.T) {
	pool := newPool(t)
	server, client := tcp(t)
	const stall = 100 * time.Millisecond
	q := ws.NewQueue(pool, "c", server, &ws.Limits{Stall: stall})
	t.Cleanup(q.Close)
	it := plug(t, q)
	_, err := io.CopyN(io.Discard, client, int64(len(it.p)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return it.written.Load() == 1 }, 5*time.Second, time.Millisecond)
	time.Sleep(2 * stall) // past what was the deadline
	require.True(t, q.Push(&item{p: []byte("x")}))
	_, err = io.ReadFull(client, make([]byte, 1))
	require.NoError(t, err)
}
