package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// allowed is how many of n calls at the same moment are let through.
func allowed(r *rate, n int, at time.Time) (ok int) {
	for range n {
		if r.allow(at) {
			ok++
		}
	}
	return ok
}

func TestARateAllowsItsBurstAndThenItsRate(t *testing.T) {
	r := newRate(50)
	now := time.Unix(1_000_000, 0)
	require.Equal(t, 200, allowed(&r, 500, now))
	require.Equal(t, 0, allowed(&r, 5, now.Add(10*time.Millisecond)))
	require.Equal(t, 1, allowed(&r, 5, now.Add(20*time.Millisecond)))
	require.Equal(t, 50, allowed(&r, 500, now.Add(1020*time.Millisecond)))
	require.Equal(t, 200, allowed(&r, 500, now.Add(time.Hour)), "never more than the burst is saved up")
	require.Equal(t, 0, allowed(&r, 5, now.Add(time.Hour)))
}

func TestARateIsNotPutOutByTheClock(t *testing.T) {
	r := newRate(50)
	now := time.Unix(1_000_000, 0)
	require.Equal(t, 10, allowed(&r, 10, now))
	require.Equal(t, 190, allowed(&r, 500, now.Add(-time.Hour)), "the clock was set back")
	require.Equal(t, 1, allowed(&r, 5, now.Add(-time.Hour+20*time.Millisecond)))
	require.Equal(t, 200, allowed(&r, 500, now.Add(time.Hour)), "and ahead")
}

func TestARateOfZeroIsNone(t *testing.T) {
	r := newRate(0)
	require.Equal(t, 10_000, allowed(&r, 10_000, time.Unix(1, 0)))
}
