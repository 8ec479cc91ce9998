package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
)

// Suite holds the conformance tests for one implementation.
type Suite struct {
	// New makes an empty database and returns a function that opens it. The suite closes each store before it opens the
	// next one, unless Shared is set, and at the end of the test.
	New func(t *testing.T) (open func() rooms.Store)
	// Persistent says that what was stored is there when the database is opened again.
	Persistent bool
	// Shared says that several stores may have the database open.
	Shared bool
	// Later makes s, the store that was opened last, believe that d has passed.
	Later func(t *testing.T, s rooms.Store, d time.Duration)
	// Spoil changes a message to one that cannot be stored.
	Spoil func(*rooms.Message)
}

// Run runs the tests.
func (s Suite) Run(t *testing.T) {
	one := func(test func(t *testing.T, s rooms.Store)) func(t *testing.T) {
		return func(t *testing.T) {
			store := s.New(t)()
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			test(t, store)
		}
	}
	t.Run("rooms", one(testRooms))
	t.Run("messages come back as they were", one(testRoundTrip))
	t.Run("history and resumption", one(testReads))
	t.Run("parts of what is long", one(testParts))
	t.Run("sequence numbers have no gap", one(func(t *testing.T, s rooms.Store) { testConcurrent(t, s) }))
	t.Run("a failing call fails alone", one(func(t *testing.T, store rooms.Store) { testIsolation(t, store, s.Spoil) }))
	t.Run("how far rooms have come", one(testHeads))
	t.Run("deleted messages", one(testDeleteMessage))
	t.Run("deleted rooms", one(testDeleteRoom))
	t.Run("a room deleted while it is written to", one(testDeleteRoomWhileAppending))
	t.Run("epochs", one(testEpochs))
	t.Run("messages sent twice", one(testTwice))
	t.Run("messages sent twice at once", one(func(t *testing.T, s rooms.Store) { testTwiceAtOnce(t, s) }))
	t.Run("refs are forgotten", one(func(t *testing.T, store rooms.Store) { testForgetRefs(t, store, s.Later) }))
	t.Run("users", one(testUsers))
	t.Run("an end of the context is an answer", one(testCancel))
	if s.Persistent {
		t.Run("reopening", func(t *testing.T) { testReopen(t, s.New(t)) })
		t.Run("closing while appending", func(t *testing.T) { testClose(t, s.New(t)) })
		t.Run("messages sent twice, over a restart", func(t *testing.T) { testTwiceReopened(t, s.New(t)) })
		t.Run("epochs of databases", func(t *testing.T) { testEpochsReopened(t, s.New) })
	}
	if s.Shared {
		t.Run("several nodes", func(t *testing.T) {
			open := s.New(t)
			var nodes []rooms.Store
			for range 3 {
				nodes = append(nodes, open())
			}
			t.Cleanup(func() {
				for _, node := range nodes {
					require.NoError(t, node.Close())
				}
			})
			testConcurrent(t, nodes...)
			testTwiceAtOnce(t, nodes...)
		})
	}
}

var epoch = time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

// NewMessage returns a message for the room that has not been stored.
func NewMessage(roomID, text string) *rooms.Message {
	return &rooms.Message{RoomID: roomID, ClientID: "ada", Text: text, CreatedAt: epoch, UpdatedAt: epoch}
}

// Append stores messages with these texts in the room.
func Append(t testing.TB, s rooms.Store, roomID string, texts ...string) []*rooms.Message {
	t.Helper()
	var drafts []rooms.Draft
	var messages []*rooms.Message
	for _, text := range texts {
		m := NewMessage(roomID, text)
		messages = append(messages, m)
		drafts = append(drafts, rooms.Draft{Ctx: t.Context(), Message: m})
	}
	require.NoError(t, s.Append(t.Context(), roomID, drafts))
	return messages
}

// CreateRoom creates the room.
func CreateRoom(t testing.TB, s rooms.Store, id string) {
	t.Helper()
	_, created, err := s.CreateRoom(t.Context(), rooms.Room{ID: id, Name: id, CreatedAt: epoch})
	require.NoError(t, err)
	require.True(t, created)
}

// All returns all messages of the room, oldest first.
func All(t testing.TB, s rooms.Store, roomID string) []*rooms.Message {
	t.Helper()
	var all []*rooms.Message
	for since := int64(0); ; {
		page, more, err := s.After(context.WithoutCancel(t.Context()), roomID, since, rooms.ReadLimit{Messages: 1000, Bytes: 1 << 20})
		require.NoError(t, err)
		all = append(all, page...)
		if !more {
			return all
		}
		since = page[len(page)-1].Seq
	}
}

func texts(messages []*rooms.Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, m.Text)
	}
	return strings.Join(all, " ")
}

func testRooms(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	require.NoError(t, s.Ping(ctx))
	list, err := s.Rooms(ctx)
	require.NoError(t, err)
	require.Empty(t, list)

	var generations []int64
	for i, id := range []string{"zoo", "bar", "ant"} {
		room := rooms.Room{ID: id, Name: "Zimmer „" + id + "“ 🦊", CreatedAt: epoch.Add(time.Duration(i/2) * time.Millisecond)}
		got, created, err := s.CreateRoom(ctx, room)
		require.NoError(t, err)
		require.True(t, created)
		require.Positive(t, got.Generation)
		generations = append(generations, got.Generation)
		room.Generation, room.Epoch = got.Generation, got.Epoch
		require.Equal(t, room, got)
	}
	got, created, err := s.CreateRoom(ctx, rooms.Room{ID: "zoo", Name: "other", CreatedAt: epoch.Add(time.Hour)})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, rooms.Room{ID: "zoo", Name: "Zimmer „zoo“ 🦊", CreatedAt: epoch, Generation: generations[0], Epoch: got.Epoch}, got)

	Append(t, s, "zoo", "one", "two")
	list, err = s.Rooms(ctx)
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, []string{"bar", "zoo", "ant"}, []string{list[0].ID, list[1].ID, list[2].ID})
	require.Equal(t, 2, list[1].Messages)
	require.EqualValues(t, 2, list[1].LastSeq)
	got, created, err = s.CreateRoom(ctx, rooms.Room{ID: "zoo"})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, list[1], got)

	_, err = s.Room(ctx, "nowhere")
	require.ErrorIs(t, err, rooms.ErrNotFound)
	_, err = s.DeleteRoom(ctx, "nowhere")
	require.ErrorIs(t, err, rooms.ErrNotFound)
}

func testRoundTrip(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "go")
	full := NewMessage("go", "")
	full.ClientID = "user_1.x-Y"
	full.IsReply = true
	full.ParentID = rooms.NewID()
	full.UpdatedAt = epoch.Add(time.Minute)
	full.Trace = rooms.TraceContext{Parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", State: "a=1,b=2"}
	var want []*rooms.Message
	for _, text := range []string{
		"hello", "", "a\nb\t\"c\" 'd' \\ %s ? $1", "日本語 עברית e\u0301 👩‍👩‍👧‍👦 \U0010FFFF",
		strings.Repeat("😀", rooms.MaxTextLength), "\x01\x7f\u2028",
	} {
		m := *full
		m.Text = text
		want = append(want, &m)
	}
	want = append(want, NewMessage("go", "plain"))
	for _, odd := range []string{"x", strings.ToUpper(full.Trace.Parent), "cc" + full.Trace.Parent[2:], full.Trace.Parent[:54] + "x"} {
		m := NewMessage("go", "of another trace context")
		m.Trace.Parent = odd
		want = append(want, m)
	}
	var drafts []rooms.Draft
	for _, m := range want {
		drafts = append(drafts, rooms.Draft{Ctx: ctx, Message: m})
	}
	require.NoError(t, s.Append(ctx, "go", drafts))
	for i, m := range want {
		require.EqualValues(t, i+1, m.Seq)
		require.True(t, i == 0 || m.ID > want[i-1].ID, "ids sort")
		got, err := s.Message(ctx, m.ID)
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	require.Equal(t, want, All(t, s, "go"))
	got, more, err := s.Newest(ctx, "go", 0, 100, rooms.ReadLimit{Messages: 100})
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, want, got)

	_, err = s.Message(ctx, uuid.NewString())
	require.ErrorIs(t, err, rooms.ErrNotFound)
	_, err = s.Message(ctx, strings.ToUpper(want[0].ID))
	require.ErrorIs(t, err, rooms.ErrNotFound)
	_, err = s.Message(ctx, "no such id")
	require.ErrorIs(t, err, rooms.ErrNotFound)
}

func testReads(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "a")
	CreateRoom(t, s, "b")
	var a, b []string
	for i := 1; i <= 250; i++ { // more than one statement's worth, in batches of all sizes
		a = append(a, fmt.Sprint("a", i))
		b = append(b, fmt.Sprint("b", i))
	}
	for n := 1; len(a) > 0; n++ {
		n = min(n, len(a))
		Append(t, s, "a", a[:n]...)
		a = a[n:]
	}
	Append(t, s, "b", b...)
	require.NoError(t, s.Append(ctx, "a", nil))

	for _, test := range []struct {
		seq   int64
		limit int
		after string
		last  string
	}{
		{0, 3, "a1 a2 a3", "a248 a249 a250"},
		{247, 100, "a248 a249 a250", "a248 a249 a250"},
		{247, 2, "a248 a249", "a249 a250"},
		{249, 1, "a250", "a250"},
		{250, 10, "", ""},
		{251, 10, "", ""},
		{math.MaxInt64, 10, "", ""},
		{-1, 1, "a1", "a250"},
		{math.MinInt64, 1, "a1", "a250"},
		{0, 0, "", ""},
		{0, -1, "", ""},
	} {
		after, more, err := s.After(ctx, "a", test.seq, rooms.ReadLimit{Messages: test.limit})
		require.NoError(t, err)
		require.Equal(t, test.after, texts(after), "after %d, %d", test.seq, test.limit)
		require.Equal(t, len(after) > 0 && after[len(after)-1].Seq < 250, more, "after %d, %d", test.seq, test.limit)
		newest, more, err := s.Newest(ctx, "a", test.seq, test.limit, rooms.ReadLimit{Messages: 1000})
		require.NoError(t, err)
		require.Equal(t, test.last, texts(newest), "newest above %d, %d", test.seq, test.limit)
		require.False(t, more)
		if len(newest) > 1 {
			newest, more, err = s.Newest(ctx, "a", test.seq, test.limit, rooms.ReadLimit{Messages: 1})
			require.NoError(t, err)
			require.Equal(t, strings.Fields(test.last)[0], texts(newest), "the first of the newest above %d, %d", test.seq, test.limit)
			require.True(t, more)
		}
	}
	for i, m := range All(t, s, "b") {
		require.EqualValues(t, i+1, m.Seq)
		require.Equal(t, b[i], m.Text)
	}
	nothing, more, err := s.Newest(ctx, "nowhere", 0, 10, rooms.ReadLimit{Messages: 10})
	require.NoError(t, err)
	require.Empty(t, nothing)
	require.False(t, more)
	nothing, more, err = s.After(ctx, "nowhere", 0, rooms.ReadLimit{Messages: 10})
	require.NoError(t, err)
	require.Empty(t, nothing)
	require.False(t, more)
}

// testParts reads what is longer than should be read at once.
func testParts(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "a")
	long := func(c string) string { return strings.Repeat(c, 50) } // 100 bytes
	all := Append(t, s, "a", "1", long("ü"), "3", long("ä"), long("ö"), "6", "7")
	require.NoError(t, s.DeleteMessage(ctx, all[2].ID))
	for _, test := range []struct {
		seq   int64
		bytes int
		last  int64
		more  bool
	}{
		{0, 0, 7, false},
		{0, 1, 1, true},
		{0, 100, 1, true},
		{0, 101, 2, true},
		{0, 200, 2, true},
		{0, 201, 4, true},
		{0, 303, 7, false},
		{1, 1, 2, true},
		{1, 99, 2, true},
		{4, 50, 5, true},
		{4, 101, 6, true},
		{4, 102, 7, false},
		{6, 1, 7, false},
	} {
		most := rooms.ReadLimit{Messages: 10, Bytes: test.bytes}
		after, more, err := s.After(ctx, "a", test.seq, most)
		require.NoError(t, err)
		require.Equal(t, test.last, after[len(after)-1].Seq, "%+v", test)
		require.Equal(t, test.more, more, "%+v", test)
		newest, more, err := s.Newest(ctx, "a", test.seq, 10, most)
		require.NoError(t, err)
		require.Equal(t, after, newest)
		require.Equal(t, test.more, more, "%+v", test)
	}
	newest, more, err := s.Newest(ctx, "a", 0, 5, rooms.ReadLimit{Messages: 10, Bytes: 150})
	require.NoError(t, err)
	require.Equal(t, []*rooms.Message{all[1]}, newest, "five of them begin at the second")
	require.True(t, more)
}

// testConcurrent has each node write to 64 rooms at once and checks that nothing is missing, repeated or out of order.
func testConcurrent(t *testing.T, nodes ...rooms.Store) {
	const perRoom, count = 30, 64
	for r := range count {
		CreateRoom(t, nodes[0], fmt.Sprint("room", r))
	}
	seen := make([]sync.Map, count) // seq -> id, as Append told
	var wg sync.WaitGroup
	for n, node := range nodes {
		for r := range count {
			wg.Go(func() {
				id := fmt.Sprint("room", r)
				for i := 0; i < perRoom; {
					size := min(1+rand.IntN(5), perRoom-i)
					var drafts []rooms.Draft
					for range size {
						drafts = append(drafts, rooms.Draft{Ctx: t.Context(), Message: NewMessage(id, fmt.Sprint(n, ".", i))})
						i++
					}
					if err := node.Append(t.Context(), id, drafts); err != nil {
						t.Errorf("append to %s: %v", id, err)
						return
					}
					for k, d := range drafts {
						if d.Message.Seq != drafts[0].Message.Seq+int64(k) {
							t.Errorf("%s: drafts of one call are not in a row", id)
						}
						if _, twice := seen[r].LoadOrStore(d.Message.Seq, d.Message.ID); twice {
							t.Errorf("%s: %d was given twice", id, d.Message.Seq)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for r := range count {
		id := fmt.Sprint("room", r)
		all := All(t, nodes[len(nodes)-1], id)
		require.Len(t, all, perRoom*len(nodes))
		next := make([]int, len(nodes))
		for i, m := range all {
			require.EqualValues(t, i+1, m.Seq)
			told, _ := seen[r].Load(m.Seq)
			require.Equal(t, told, m.ID)
			var node, nth int
			_, err := fmt.Sscanf(m.Text, "%d.%d", &node, &nth)
			require.NoError(t, err)
			require.Equal(t, next[node], nth, "the order of one node's messages")
			next[node]++
		}
		room, err := nodes[0].Room(t.Context(), id)
		require.NoError(t, err)
		require.EqualValues(t, perRoom*len(nodes), room.LastSeq)
		require.Equal(t, perRoom*len(nodes), room.Messages)
	}
}

// testIsolation has calls that cannot succeed among many that can.
func testIsolation(t *testing.T, s rooms.Store, spoil func(*rooms.Message)) {
	ctx := t.Context()
	for r := range 16 {
		CreateRoom(t, s, fmt.Sprint("room", r))
	}
	var wg sync.WaitGroup
	for r := range 16 {
		id := fmt.Sprint("room", r)
		wg.Go(func() {
			for range 20 {
				if err := s.Append(ctx, id, []rooms.Draft{{Ctx: ctx, Message: NewMessage(id, "x")}}); err != nil {
					t.Errorf("append to %s: %v", id, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			err := s.Append(ctx, "nowhere", []rooms.Draft{{Ctx: ctx, Message: NewMessage("nowhere", "x")}})
			if !errors.Is(err, rooms.ErrNotFound) {
				t.Errorf("append to no room: %v", err)
			}
		}
	})
	CreateRoom(t, s, "spoilt")
	wg.Go(func() {
		for range 20 {
			ok, bad := NewMessage("spoilt", "ok"), NewMessage("spoilt", "bad")
			spoil(bad)
			err := s.Append(ctx, "spoilt", []rooms.Draft{{Ctx: ctx, Message: ok}, {Ctx: ctx, Message: bad}})
			if err == nil || errors.Is(err, rooms.ErrNotFound) {
				t.Errorf("append of what cannot be stored: %v", err)
			}
		}
	})
	wg.Wait()
	require.Empty(t, All(t, s, "spoilt"))
	require.EqualValues(t, 1, Append(t, s, "spoilt", "now")[0].Seq)
	for r := range 16 {
		all := All(t, s, fmt.Sprint("room", r))
		require.Len(t, all, 20)
		require.EqualValues(t, 20, all[19].Seq)
	}
}

func testHeads(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	heads, count, err := s.Heads(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, heads)
	require.Zero(t, count)
	want := make(map[string]rooms.Head)
	for _, id := range []string{"a", "b.c", "d", "empty"} {
		CreateRoom(t, s, id)
	}
	for _, id := range []string{"a", "b.c", "d"} {
		m := Append(t, s, id, "1", "2", "3")
		want[id] = rooms.Head{Generation: m[2].Generation, LastSeq: 3}
		require.NoError(t, s.DeleteMessage(ctx, m[2].ID))
	}
	room, err := s.Room(ctx, "empty")
	require.NoError(t, err)
	want["empty"] = rooms.Head{Generation: room.Generation}
	_, err = s.DeleteRoom(ctx, "d")
	require.NoError(t, err)
	delete(want, "d")
	heads, count, err = s.Heads(ctx, []string{"a", "b.c", "d", "nowhere", "empty"})
	require.NoError(t, err)
	require.Equal(t, want, heads)
	require.Equal(t, 3, count)
	heads, _, err = s.Heads(ctx, []string{"a"})
	require.NoError(t, err)
	require.Equal(t, map[string]rooms.Head{"a": want["a"]}, heads)
}

func testDeleteMessage(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "a")
	m := Append(t, s, "a", "1", "2", "3", "4")
	for _, i := range []int{1, 3} {
		require.NoError(t, s.DeleteMessage(ctx, m[i].ID))
		require.ErrorIs(t, s.DeleteMessage(ctx, m[i].ID), rooms.ErrNotFound)
		_, err := s.Message(ctx, m[i].ID)
		require.ErrorIs(t, err, rooms.ErrNotFound)
	}
	require.ErrorIs(t, s.DeleteMessage(ctx, uuid.NewString()), rooms.ErrNotFound)
	require.ErrorIs(t, s.DeleteMessage(ctx, "no such id"), rooms.ErrNotFound)
	require.Equal(t, "1 3", texts(All(t, s, "a")))
	newest, _, err := s.Newest(ctx, "a", 0, 2, rooms.ReadLimit{Messages: 10})
	require.NoError(t, err)
	require.Equal(t, "1 3", texts(newest))
	room, err := s.Room(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 4, room.LastSeq)
	require.Equal(t, 2, room.Messages)

	require.EqualValues(t, 5, Append(t, s, "a", "5")[0].Seq)
	require.Equal(t, "1 3 5", texts(All(t, s, "a")))
}

func testDeleteRoom(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "a")
	CreateRoom(t, s, "b")
	var many []string
	for i := range 1500 {
		many = append(many, fmt.Sprint(i))
	}
	old := Append(t, s, "a", many...)
	kept := Append(t, s, "b", "kept")[0]

	for range 2 {
		before, err := s.Room(ctx, "a")
		require.NoError(t, err)
		generation, err := s.DeleteRoom(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, before.Generation, generation)
		_, err = s.DeleteRoom(ctx, "a")
		require.ErrorIs(t, err, rooms.ErrNotFound)
		_, err = s.Room(ctx, "a")
		require.ErrorIs(t, err, rooms.ErrNotFound)
		require.ErrorIs(t, s.Append(ctx, "a", []rooms.Draft{{Ctx: ctx, Message: NewMessage("a", "x")}}), rooms.ErrNotFound)
		require.Empty(t, All(t, s, "a"))

		CreateRoom(t, s, "a")
		require.Empty(t, All(t, s, "a"))
		room, err := s.Room(ctx, "a")
		require.NoError(t, err)
		require.Greater(t, room.Generation, generation)
		require.Zero(t, room.LastSeq)
		require.Zero(t, room.Messages)
		for _, i := range []int{0, 700, 1499} {
			_, err = s.Message(ctx, old[i].ID)
			require.ErrorIs(t, err, rooms.ErrNotFound)
			require.ErrorIs(t, s.DeleteMessage(ctx, old[i].ID), rooms.ErrNotFound)
		}
		anew := Append(t, s, "a", "anew")[0]
		require.EqualValues(t, 1, anew.Seq)
		require.Equal(t, room.Generation, anew.Generation)
		require.Equal(t, "anew", texts(All(t, s, "a")))
	}
	got, err := s.Message(ctx, kept.ID)
	require.NoError(t, err)
	require.Equal(t, kept, got)
}

func testDeleteRoomWhileAppending(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		last := int64(0)
		for !stop.Load() {
			m := NewMessage("a", "x")
			switch err := s.Append(ctx, "a", []rooms.Draft{{Ctx: ctx, Message: m}}); {
			case errors.Is(err, rooms.ErrNotFound):
			case err != nil:
				t.Errorf("append: %v", err)
				return
			case m.Seq != last+1 && m.Seq != 1:
				t.Errorf("%d follows %d", m.Seq, last)
			}
			last = m.Seq
		}
	})
	for range 30 {
		CreateRoom(t, s, "a")
		require.Eventually(t, func() bool {
			room, err := s.Room(ctx, "a")
			return err == nil && room.LastSeq > 2
		}, 10*time.Second, time.Millisecond)
		_, err := s.DeleteRoom(ctx, "a")
		require.NoError(t, err)
	}
	stop.Store(true)
	wg.Wait()
}

func testUsers(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	ada := rooms.User{ID: "1", Name: "Ada Lovelace", Handle: "ada", CreatedAt: epoch.Add(time.Second), UpdatedAt: epoch.Add(time.Second)}
	bob := rooms.User{ID: "2", Name: "Bób", Handle: "bob", CreatedAt: epoch, UpdatedAt: epoch.Add(time.Minute)}
	require.NoError(t, s.CreateUser(ctx, ada))
	require.NoError(t, s.CreateUser(ctx, bob))
	err := s.CreateUser(ctx, rooms.User{ID: "3", Name: "Other", Handle: "ada", CreatedAt: epoch, UpdatedAt: epoch})
	require.ErrorIs(t, err, rooms.ErrConflict)
	require.Equal(t, "handle", rooms.AsError(err).Field)

	got, err := s.User(ctx, "1")
	require.NoError(t, err)
	require.Equal(t, ada, got)
	_, err = s.User(ctx, "3")
	require.ErrorIs(t, err, rooms.ErrNotFound)
	all, err := s.Users(ctx)
	require.NoError(t, err)
	require.Equal(t, []rooms.User{bob, ada}, all)

	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			err := s.CreateUser(ctx, rooms.User{ID: fmt.Sprint("r", i), Handle: "race", CreatedAt: epoch, UpdatedAt: epoch})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, rooms.ErrConflict):
				t.Errorf("create user: %v", err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())

	// What a user who is deleted has said stays; the handle is free again.
	CreateRoom(t, s, "a")
	require.NoError(t, s.Append(ctx, "a", []rooms.Draft{{Ctx: ctx, Message: &rooms.Message{
		RoomID: "a", ClientID: "1", Text: "hello", CreatedAt: epoch, UpdatedAt: epoch,
	}}}))
	require.NoError(t, s.DeleteUser(ctx, "1"))
	require.ErrorIs(t, s.DeleteUser(ctx, "1"), rooms.ErrNotFound)
	require.ErrorIs(t, s.DeleteUser(ctx, "no such id"), rooms.ErrNotFound)
	_, err = s.User(ctx, "1")
	require.ErrorIs(t, err, rooms.ErrNotFound)
	said, _, err := s.After(ctx, "a", 0, rooms.ReadLimit{Messages: 10})
	require.NoError(t, err)
	require.Len(t, said, 1)
	require.Equal(t, "1", said[0].ClientID)
	require.NoError(t, s.CreateUser(ctx, rooms.User{ID: "4", Name: "Ada again", Handle: "ada", CreatedAt: epoch, UpdatedAt: epoch}))
}

// testCancel ends contexts at random moments: an error says that nothing was stored, nil that all was.
func testCancel(t *testing.T, s rooms.Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	CreateRoom(t, s, "ended")
	require.ErrorIs(t, s.Append(ended, "ended", []rooms.Draft{{Ctx: ended, Message: NewMessage("ended", "x")}}), context.Canceled)

	stored := make([][]string, 16)
	var wg sync.WaitGroup
	for r := range stored {
		id := fmt.Sprint("room", r)
		CreateRoom(t, s, id)
		wg.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(rand.IntN(500))*time.Microsecond, cancel)
				m := NewMessage(id, "x")
				err := s.Append(ctx, id, []rooms.Draft{{Ctx: ctx, Message: m}})
				timer.Stop()
				cancel()
				switch {
				case err == nil:
					stored[r] = append(stored[r], m.ID)
				case !errors.Is(err, context.Canceled):
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for r := range stored {
		all := All(t, s, fmt.Sprint("room", r))
		require.Len(t, all, len(stored[r]))
		for i, m := range all {
			require.EqualValues(t, i+1, m.Seq)
			require.Equal(t, stored[r][i], m.ID)
		}
	}
	require.Empty(t, All(t, s, "ended"))
}

func testReopen(t *testing.T, open func() rooms.Store) {
	ctx := t.Context()
	s := open()
	CreateRoom(t, s, "a")
	want := Append(t, s, "a", "1", "2")
	deleted := Append(t, s, "a", "3")[0]
	require.NoError(t, s.DeleteMessage(ctx, deleted.ID))
	CreateRoom(t, s, "gone")
	Append(t, s, "gone", "x")
	_, err := s.DeleteRoom(ctx, "gone")
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = open()
	require.Equal(t, want, All(t, s, "a"))
	require.EqualValues(t, 4, Append(t, s, "a", "4")[0].Seq)
	_, err = s.Room(ctx, "gone")
	require.ErrorIs(t, err, rooms.ErrNotFound)
	require.NoError(t, s.Close())
}

func testClose(t *testing.T, open func() rooms.Store) {
	s := open()
	const count = 32
	stored := make([][]string, count)
	var wg sync.WaitGroup
	var running sync.WaitGroup
	for r := range count {
		id := fmt.Sprint("room", r)
		CreateRoom(t, s, id)
		running.Add(1)
		wg.Go(func() {
			for i := 0; ; i++ {
				m := NewMessage(id, "x")
				if err := s.Append(t.Context(), id, []rooms.Draft{{Ctx: t.Context(), Message: m}}); err != nil {
					return
				}
				stored[r] = append(stored[r], m.ID)
				if i == 2 {
					running.Done()
				}
			}
		})
	}
	running.Wait()
	require.NoError(t, s.Close())
	wg.Wait()

	s = open()
	for r := range count {
		all := All(t, s, fmt.Sprint("room", r))
		require.Len(t, all, len(stored[r]))
		for i, m := range all {
			require.EqualValues(t, i+1, m.Seq)
			require.Equal(t, stored[r][i], m.ID)
		}
	}
	require.NoError(t, s.Close())
}
