package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
)

func roomEpoch(t *testing.T, s rooms.Store, id string) string {
	t.Helper()
	room, err := s.Room(t.Context(), id)
	require.NoError(t, err)
	require.Regexp(t, `^[a-z0-9.-]{1,32}$`, room.Epoch)
	return room.Epoch
}

func testEpochs(t *testing.T, s rooms.Store) {
	CreateRoom(t, s, "a")
	CreateRoom(t, s, "b")
	before := roomEpoch(t, s, "a")
	require.NotEqual(t, before, roomEpoch(t, s, "b"))
	Append(t, s, "a", "1", "2")
	require.Equal(t, before, roomEpoch(t, s, "a"))
	list, err := s.Rooms(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, list[0].Epoch)

	_, err = s.DeleteRoom(t.Context(), "a")
	require.NoError(t, err)
	CreateRoom(t, s, "a")
	require.NotEqual(t, before, roomEpoch(t, s, "a"))
}

func testEpochsReopened(t *testing.T, create func(t *testing.T) func() rooms.Store) {
	open := create(t)
	s := open()
	CreateRoom(t, s, "a")
	before := roomEpoch(t, s, "a")
	require.NoError(t, s.Close())
	s = open()
	require.Equal(t, before, roomEpoch(t, s, "a"))
	require.NoError(t, s.Close())

	s = create(t)()
	CreateRoom(t, s, "a")
	require.NotEqual(t, before, roomEpoch(t, s, "a"), "another database")
	require.NoError(t, s.Close())
}

// say returns a draft of a message with a ref.
func say(roomID, client, text, ref string) rooms.Draft {
	m := NewMessage(roomID, text)
	m.ClientID = client
	return rooms.Draft{Message: m, Ref: ref}
}

// appendAll appends the drafts in one call and returns the number of each, negative if it is a repetition.
func appendAll(t *testing.T, s rooms.Store, roomID string, drafts ...rooms.Draft) []int64 {
	t.Helper()
	require.NoError(t, s.Append(t.Context(), roomID, drafts))
	var seqs []int64
	for _, d := range drafts {
		seq := d.Message.Seq
		got, err := s.Message(t.Context(), d.Message.ID)
		require.NoError(t, err)
		require.Equal(t, got, d.Message)
		if d.Repeated {
			seq = -seq
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

func testTwice(t *testing.T, s rooms.Store) {
	ctx := t.Context()
	CreateRoom(t, s, "a")
	CreateRoom(t, s, "b")
	first := say("a", "ada", "1", "r")
	first.Message.Trace.Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	require.Equal(t, []int64{1}, appendAll(t, s, "a", first))
	require.Equal(t, []int64{-1}, appendAll(t, s, "a", say("a", "ada", "another text", "r")), "whatever it says")
	require.Equal(t, []int64{2}, appendAll(t, s, "a", say("a", "bob", "2", "r")), "another client")
	require.Equal(t, []int64{1}, appendAll(t, s, "b", say("b", "ada", "1", "r")), "another room")
	require.Equal(t, []int64{3, 4}, appendAll(t, s, "a", say("a", "ada", "3", ""), say("a", "ada", "4", "")), "without a ref")
	require.Equal(t, []int64{5, -1, 6, -5, 7, -5, -2, 8}, appendAll(t, s, "a",
		say("a", "ada", "5", "x"), say("a", "ada", "1", "r"), say("a", "bob", "6", "x"), say("a", "ada", "5", "x"),
		say("a", "ada", "7", "ü🦊 \"' \\ %"), say("a", "ada", "5", "x"), say("a", "bob", "2", "r"), say("a", "ada", "8", "")), "among others")
	require.Equal(t, []int64{-7}, appendAll(t, s, "a", say("a", "ada", "7", "ü🦊 \"' \\ %")))
	require.Equal(t, "1 2 3 4 5 6 7 8", texts(All(t, s, "a")))
	require.Equal(t, "1", texts(All(t, s, "b")))
	room, err := s.Room(ctx, "a")
	require.NoError(t, err)
	require.EqualValues(t, 8, room.LastSeq)

	var many []rooms.Draft // more than one statement's worth
	var want []int64
	for i := range 300 {
		many = append(many, say("b", "ada", "x", fmt.Sprint(i/2)))
		seq := int64(2 + i/2)
		want = append(want, seq)
		if i%2 == 1 {
			want[i] = -seq
		}
	}
	require.Equal(t, want, appendAll(t, s, "b", many...))

	m, err := s.Sent(ctx, "a", "ada", "r")
	require.NoError(t, err)
	require.Equal(t, first.Message, m)
	for _, none := range [][3]string{{"a", "ada", "other"}, {"a", "cyd", "r"}, {"nowhere", "ada", "r"}} {
		_, err = s.Sent(ctx, none[0], none[1], none[2])
		require.ErrorIs(t, err, rooms.ErrNotFound)
	}

	require.NoError(t, s.DeleteMessage(ctx, first.Message.ID))
	again := []rooms.Draft{say("a", "ada", "1", "r")}
	require.NoError(t, s.Append(ctx, "a", again))
	require.True(t, again[0].Repeated, "what was deleted is not stored anew")
	require.Equal(t, first.Message, again[0].Message)

	_, err = s.DeleteRoom(ctx, "a")
	require.NoError(t, err)
	require.ErrorIs(t, s.Append(ctx, "a", []rooms.Draft{say("a", "ada", "1", "r")}), rooms.ErrNotFound)
	CreateRoom(t, s, "a")
	require.Equal(t, []int64{1}, appendAll(t, s, "a", say("a", "ada", "1", "r")), "another room of that id")
}

// testTwiceAtOnce has several clients send each message at least twice, through all nodes.
func testTwiceAtOnce(t *testing.T, nodes ...rooms.Store) {
	const inRoom, refs = 16, 40
	for r := range inRoom {
		CreateRoom(t, nodes[0], fmt.Sprint("twice", r))
	}
	type key struct{ room, ref int }
	var mu sync.Mutex
	ids := make(map[key]string)
	stored := make(map[key]int)
	var wg sync.WaitGroup
	for _, node := range nodes {
		for r := range inRoom {
			wg.Go(func() {
				id := fmt.Sprint("twice", r)
				for ref := range refs {
					// What is new comes together with what is not.
					drafts := []rooms.Draft{say(id, "ada", fmt.Sprint(ref), fmt.Sprint(ref)), say(id, "ada", fmt.Sprint(ref/2), fmt.Sprint(ref/2))}
					if err := node.Append(t.Context(), id, drafts); err != nil {
						t.Errorf("append: %v", err)
						return
					}
					mu.Lock()
					for i, d := range drafts {
						k := key{r, []int{ref, ref / 2}[i]}
						if !d.Repeated {
							stored[k]++
						}
						if ids[k] == "" {
							ids[k] = d.Message.ID
						}
						if ids[k] != d.Message.ID || d.Message.Text != fmt.Sprint(k.ref) {
							t.Errorf("%v is %v and %v, of text %q", k, ids[k], d.Message.ID, d.Message.Text)
						}
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	require.Len(t, stored, inRoom*refs)
	for k, n := range stored {
		require.Equal(t, 1, n, k)
	}
	for r := range inRoom {
		all := All(t, nodes[0], fmt.Sprint("twice", r))
		require.Len(t, all, refs)
		for i, m := range all {
			require.EqualValues(t, i+1, m.Seq)
		}
	}
}

func testForgetRefs(t *testing.T, s rooms.Store, later func(*testing.T, rooms.Store, time.Duration)) {
	CreateRoom(t, s, "a")
	require.Equal(t, []int64{1, 2}, appendAll(t, s, "a", say("a", "ada", "1", "r"), say("a", "ada", "2", "other")))
	later(t, s, rooms.RefAge-time.Minute)
	require.Equal(t, []int64{-1}, appendAll(t, s, "a", say("a", "ada", "1", "r")))
	later(t, s, 2*time.Minute)
	_, err := s.Sent(t.Context(), "a", "ada", "r")
	require.ErrorIs(t, err, rooms.ErrNotFound)
	require.Equal(t, []int64{3, -3}, appendAll(t, s, "a", say("a", "ada", "3", "r"), say("a", "ada", "3", "r")))
	require.Equal(t, []int64{-3}, appendAll(t, s, "a", say("a", "ada", "3", "r")))
	require.Equal(t, []int64{4}, appendAll(t, s, "a", say("a", "ada", "4", "other")))
}

func testTwiceReopened(t *testing.T, open func() rooms.Store) {
	s := open()
	CreateRoom(t, s, "a")
	require.Equal(t, []int64{1}, appendAll(t, s, "a", say("a", "ada", "1", "r")))
	require.NoError(t, s.Close())
	s = open()
	require.Equal(t, []int64{-1, 2}, appendAll(t, s, "a", say("a", "ada", "1", "r"), say("a", "ada", "2", "s")))
	require.NoError(t, s.Close())
}
