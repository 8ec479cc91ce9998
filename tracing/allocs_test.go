//go:build !race

package tracing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What observing a message's steps leaves to the garbage collector: a span, a context for what is within it, trace context as
// text, and a function to be called at the end, each where it is needed. Without the race detector, which drops what pools keep.
func TestAllocationsOfObserving(t *testing.T) {
	most := map[string]float64{"receive": 5, "append10": 11, "broadcast": 3, "deliver": 2}
	for name, step := range steps(t) {
		require.LessOrEqual(t, testing.AllocsPerRun(2000, step), most[name], name)
	}
}
