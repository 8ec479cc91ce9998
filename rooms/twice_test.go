package rooms_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// post sends a message and waits for the outcome.
func (n *node) post(t *testing.T, p rooms.Post) (m *rooms.Message, repeated bool) {
	t.Helper()
	p.Transport = "websocket"
	done := make(chan struct{})
	var err error
	require.NoError(t, n.Send(t.Context(), p, func(got *rooms.Message, again bool, failed error) {
		m, repeated, err = got, again, failed
		close(done)
	}))
	<-done
	require.NoError(t, err)
	return m, repeated
}

// messages returns the messages that it was sent, without those of histories.
func (r *recorder) messages() (messages []told) {
	for _, e := range r.all() {
		if e.Kind == "message" {
			messages = append(messages, e)
		}
	}
	return messages
}

func TestAMessageThatIsSentTwiceIsSaidOnce(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	ada, phone := n.join(t, "lobby", "ada", -1)
	desk, other := n.join(t, "lobby", "ada", -1)
	bob, _ := n.join(t, "lobby", "bob", -1)
	p := rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x", Ref: "r", From: phone}
	first, repeated := n.post(t, p)
	require.False(t, repeated)
	second, repeated := n.post(t, p)
	require.True(t, repeated)
	require.Equal(t, first, second)
	p.From = other
	third, repeated := n.post(t, p)
	require.True(t, repeated)
	require.Equal(t, first, third)
	p.From = nil // as REST sends
	_, repeated = n.post(t, p)
	require.True(t, repeated)
	require.NoError(t, n.send("lobby", "bob", "end", "r", nil))

	require.Eventually(t, func() bool { return bob.last() == 2 && ada.last() == 2 && desk.last() == 2 }, waitFor, tick)
	said, end := told{Kind: "message", Client: "ada", Seq: 1, Text: "x"}, told{Kind: "message", Client: "bob", Seq: 2, Text: "end"}
	mine := said
	mine.Ref = "r"
	require.Equal(t, []told{said, end}, bob.messages())
	require.Equal(t, []told{mine, mine, end}, ada.messages())
	require.Equal(t, []told{said, mine, end}, desk.messages())
	room, err := n.Room(t.Context(), "lobby")
	require.NoError(t, err)
	require.Equal(t, 2, room.Messages)
}

// Messages that are stored together contain repetitions: their senders are told of them after all that comes before them.
func TestAMessageThatIsSentTwiceAtOnceIsSaidOnce(t *testing.T) {
	s := &faulty{Store: openStore(t), hold: make(chan struct{})}
	n := newNode(t, s, &relay.Local{}, rooms.Limits{})
	ada, m := n.join(t, "lobby", "ada", -1)
	bob, _ := n.join(t, "lobby", "bob", -1)
	outcomes := make(chan bool, 8)
	for _, ref := range []string{"0", "1", "1", "2", "1", "2"} {
		require.NoError(t, n.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: ref, Ref: ref, From: m},
			func(_ *rooms.Message, repeated bool, err error) {
				require.NoError(t, err)
				outcomes <- repeated
			}))
	}
	close(s.hold)
	var repeated []bool
	for range 6 {
		repeated = append(repeated, <-outcomes)
	}
	require.Equal(t, []bool{false, false, true, false, true, true}, repeated)
	require.Eventually(t, func() bool { return len(ada.messages()) == 6 }, waitFor, tick)
	highest := int64(0)
	for _, e := range ada.messages() {
		require.LessOrEqual(t, e.Seq, highest+1)
		highest = max(highest, e.Seq)
		require.Equal(t, e.Text, e.Ref)
	}
	require.Len(t, bob.messages(), 3)
}

// A message is sent again through a node that has not been told of it.
func TestAMessageThatIsSentTwiceToANodeThatLags(t *testing.T) {
	store := openStore(t)
	here := newNode(t, store, &relay.Local{}, rooms.Limits{})
	there := newNode(t, store, &relay.Local{}, rooms.Limits{})
	_, m := here.join(t, "lobby", "ada", -1)
	again, m2 := there.join(t, "lobby", "ada", -1)
	require.NoError(t, here.send("lobby", "ada", "before", "b", m))
	require.NoError(t, here.send("lobby", "ada", "x", "r", m))
	_, repeated := there.post(t, rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x", Ref: "r", From: m2})
	require.True(t, repeated)
	require.Eventually(t, func() bool { return len(again.messages()) == 3 }, waitFor, tick)
	require.Equal(t, []told{
		{Kind: "message", Client: "ada", Seq: 1, Text: "before"}, {Kind: "message", Client: "ada", Seq: 2, Text: "x"},
		{Kind: "message", Client: "ada", Seq: 2, Text: "x", Ref: "r"},
	}, again.messages())
}

// A sender whose queue is full when it is told of a repetition is removed, as with any other message.
func TestASenderWhoseQueueIsFullIsRemoved(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	ada, m := n.join(t, "lobby", "ada", -1)
	p := rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x", Ref: "r", From: m}
	n.post(t, p)
	requireAll(t, ada, 1, 1)
	ada.full.Store(true)
	n.post(t, p)
	require.Eventually(t, func() bool {
		ada.mu.Lock()
		defer ada.mu.Unlock()
		return len(ada.removed) == 1 && ada.removed[0] == rooms.RemovedSlow
	}, waitFor, tick)
}

// A reply is sent again when the message that it answers has been deleted: it is still a repetition.
func TestARepeatedReplyToWhatWasDeleted(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	_, _, err := n.CreateRoom(t.Context(), "lobby", "")
	require.NoError(t, err)
	parent, _ := n.post(t, rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x"})
	p := rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "y", Ref: "r", IsReply: true, ParentID: parent.ID}
	reply, _ := n.post(t, p)
	require.NoError(t, n.DeleteMessage(t.Context(), parent.ID))
	again, repeated := n.post(t, p)
	require.True(t, repeated)
	require.Equal(t, reply, again)
	p.Ref = "other"
	require.ErrorIs(t, n.Send(t.Context(), p, func(*rooms.Message, bool, error) {}), rooms.ErrNotFound)
}

func TestARefThatCannotBeOne(t *testing.T) {
	n := newNode(t, openStore(t), &relay.Local{}, rooms.Limits{})
	for _, ref := range []string{"a\nb", "\x00", "\xff", string(make([]byte, 65)), "\u0085"} {
		err := n.Send(t.Context(), rooms.Post{RoomID: "lobby", ClientID: "ada", Text: "x", Ref: ref}, nil)
		require.ErrorIs(t, err, rooms.ErrInvalid, "%q", ref)
		require.Equal(t, "ref", rooms.AsError(err).Field)
	}
}

func TestResumingByEpoch(t *testing.T) {
	store := openStore(t)
	n := newNode(t, store, &relay.Local{}, rooms.Limits{})
	join := func(since int64, epoch string) told {
		r := &recorder{}
		m, err := n.Join(t.Context(), &rooms.Conn{ID: "x", Transport: "websocket", Sink: r},
			rooms.Join{RoomID: "lobby", ClientID: "ada", Since: &since, Epoch: epoch})
		require.NoError(t, err)
		require.NoError(t, n.Leave(context.Background(), m))
		require.Equal(t, "history", r.all()[0].Kind)
		return r.all()[0]
	}
	ada, m := n.join(t, "lobby", "ada", -1)
	epoch := ada.all()[0].Epoch
	require.NotEmpty(t, epoch, "of a room in which nothing was said, too")
	for range 3 {
		require.NoError(t, n.send("lobby", "ada", "x", "", m))
	}
	for _, test := range []struct {
		since int64
		epoch string
		want  told
	}{
		{1, epoch, told{Kind: "history", Epoch: epoch, History: []int64{2, 3}}},
		{3, epoch, told{Kind: "history", Epoch: epoch}},
		{1, "", told{Kind: "history", Epoch: epoch, History: []int64{2, 3}}},
		{1, "other", told{Kind: "history", Epoch: epoch, History: []int64{1, 2, 3}, Reset: true}},
		{4, epoch, told{Kind: "history", Epoch: epoch, History: []int64{1, 2, 3}, Reset: true}},
		{4, "", told{Kind: "history", Epoch: epoch, History: []int64{1, 2, 3}, Reset: true}},
	} {
		require.Equal(t, test.want, join(test.since, test.epoch), "%d %s", test.since, test.epoch)
		page, err := n.Messages(t.Context(), "lobby", rooms.Query{Since: &test.since, Epoch: test.epoch, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, test.want.Epoch, page.Epoch)
		require.Equal(t, test.want.Reset, page.Reset)
		var seqs []int64
		for _, m := range page.Messages {
			seqs = append(seqs, m.Seq)
		}
		require.Equal(t, test.want.History, seqs)
	}

	require.NoError(t, n.DeleteRoom(t.Context(), "lobby"))
	_, m = n.join(t, "lobby", "bob", -1)
	for range 5 {
		require.NoError(t, n.send("lobby", "bob", "new", "", m))
	}
	got := join(3, epoch)
	require.True(t, got.Reset)
	require.NotEqual(t, epoch, got.Epoch)
	require.Equal(t, []int64{1, 2, 3, 4, 5}, got.History)
}
