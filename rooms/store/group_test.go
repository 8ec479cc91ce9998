package store

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/traceroom/traceroom/rooms"
)

// TestGroupQueue has calls wait while a transaction is under way: one is withdrawn, one ends too late for that, and the others
// share the next transaction.
func TestGroupQueue(t *testing.T) {
	began := make(chan []string)
	finish := make(chan struct{})
	g := newGroup(1, func(ctx context.Context, calls []*call) {
		var ids []string
		for _, c := range calls {
			ids = append(ids, c.roomID)
			if c.roomID == "bad" {
				c.err = rooms.ErrNotFound
			}
		}
		began <- ids
		<-finish
		if ctx.Err() != nil {
			t.Error("a transaction was told of a caller's end")
		}
	})
	drafts := make([]rooms.Draft, 1)
	start := func(ctx context.Context, id string) <-chan error {
		result := make(chan error, 1)
		before := len(g.queue)
		go func() { result <- g.append(ctx, id, drafts) }()
		require.Eventually(t, func() bool { return len(g.queue) == before+1 || id == "first" }, waitFor, tick)
		return result
	}

	ctx, cancel := context.WithCancel(t.Context())
	first := start(ctx, "first")
	require.Equal(t, []string{"first"}, <-began)
	cancel()

	ctx, cancel = context.WithCancel(t.Context())
	a, withdrawn, bad, b := start(t.Context(), "a"), start(ctx, "withdrawn"), start(t.Context(), "bad"), start(t.Context(), "b")
	cancel()
	require.ErrorIs(t, <-withdrawn, context.Canceled)

	finish <- struct{}{}
	require.NoError(t, <-first)
	require.Equal(t, []string{"a", "bad", "b"}, <-began)

	closed := make(chan bool)
	go func() { closed <- g.close() }()
	finish <- struct{}{}
	require.NoError(t, <-a)
	require.ErrorIs(t, <-bad, rooms.ErrNotFound)
	require.NoError(t, <-b)
	require.True(t, <-closed)
	require.False(t, g.close())
	require.ErrorIs(t, g.append(t.Context(), "late", drafts), errClosed)
}

// TestGroupFullQueue has a call wait for a place in the queue until its context ends.
func TestGroupFullQueue(t *testing.T) {
	g := newGroup(0, nil)
	for range maxWaiting {
		g.queue <- &call{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), tick)
	defer cancel()
	require.ErrorIs(t, g.append(ctx, "a", make([]rooms.Draft, 1)), context.DeadlineExceeded)
}
