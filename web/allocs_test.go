//go:build !race

package web

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What a message leaves to the garbage collector, from its frame to its members' queues, everything observed. It does not
// depend on how many members there are. Without the race detector, which drops what pools keep.
func TestAllocationsOfAMessage(t *testing.T) {
	const most = 34
	for _, members := range []int{1, 8, 200, 1000} {
		say := observedRoom(t, members)
		for range 2 * liveTraces { // which memory is taken for once
			say()
		}
		require.LessOrEqualf(t, testing.AllocsPerRun(500, say), float64(most), "%d members", members)
	}
}

func TestAllocationsOfAFrame(t *testing.T) {
	frame := []byte(`{"type":"message","text":"hello","ref":"17"}`)
	require.LessOrEqual(t, testing.AllocsPerRun(500, func() { _, _ = parseFrame(frame) }), 3.0)
}
