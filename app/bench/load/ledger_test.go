package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// roomOf returns the ledger of a room in which member 0 has sent messages, what its members have seen, and where the
// complete messages are noted.
func roomOf(members, messages int) (*ledger, []view, *[]uint32) {
	var complete []uint32
	l := &ledger{alive: members}
	l.complete = func(n uint32) { complete = append(complete, n) }
	for range messages {
		l.send(0)
	}
	return l, make([]view, members), &complete
}

func TestOneOrderForAll(t *testing.T) {
	l, views, complete := roomOf(3, 3)
	for m := range views {
		for _, n := range []uint32{1, 0, 2} { // any order, but the same
			require.True(t, l.see(&views[m], n))
		}
	}
	require.EqualValues(t, 9, l.delivered)
	require.Zero(t, l.misplaced)
	require.Equal(t, []uint32{1, 0, 2}, *complete)
}

func TestAnotherOrderIsNoted(t *testing.T) {
	l, views, complete := roomOf(2, 3)
	for _, n := range []uint32{0, 1, 2} {
		require.True(t, l.see(&views[0], n))
	}
	for _, n := range []uint32{1, 0, 2} {
		require.True(t, l.see(&views[1], n))
	}
	require.EqualValues(t, 2, l.misplaced)
	require.EqualValues(t, 6, l.delivered)
	require.Len(t, *complete, 3)
}

func TestARepeatedMessageIsNoDelivery(t *testing.T) {
	l, views, _ := roomOf(1, 2)
	require.True(t, l.see(&views[0], 0))
	require.False(t, l.see(&views[0], 0))
	require.True(t, l.see(&views[0], 1))
	require.False(t, l.see(&views[0], 0))
	require.EqualValues(t, 2, l.misplaced)
	require.EqualValues(t, 2, l.delivered)
}

func TestAMissedMessageIsMissingForThatMemberAlone(t *testing.T) {
	for _, first := range []int{0, 1} { // whether it is the first or the last to be read from
		l, views, complete := roomOf(2, 3)
		for m := range 2 {
			if m == first {
				l.see(&views[m], 0)
				l.see(&views[m], 2)
				continue
			}
			for _, n := range []uint32{0, 1, 2} {
				l.see(&views[m], n)
			}
		}
		require.EqualValues(t, 5, l.delivered)
		require.Positive(t, l.misplaced)
		require.ElementsMatch(t, []uint32{0, 2}, *complete)
	}
}

func TestAMessageThatNobodySentIsNoDelivery(t *testing.T) {
	l, views, _ := roomOf(1, 1)
	require.False(t, l.see(&views[0], 7))
	require.True(t, l.see(&views[0], 0))
	require.False(t, l.see(&views[0], 1))
	require.EqualValues(t, 2, l.misplaced)
	require.EqualValues(t, 1, l.delivered)
}

func TestWhoIsGoneIsNotWaitedFor(t *testing.T) {
	l, views, complete := roomOf(2, 2)
	l.see(&views[0], 0)
	require.Empty(t, *complete)
	l.leave(&views[1])
	require.Equal(t, []uint32{0}, *complete)
	l.see(&views[0], 1)
	require.Equal(t, []uint32{0, 1}, *complete)
	require.EqualValues(t, 2, l.delivered)
	l.see(&views[0], l.send(0))
	require.Equal(t, []uint32{0, 1, 2}, *complete)
}
