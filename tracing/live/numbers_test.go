package live

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Readings are remembered for a minute, however long somebody looks.
func TestReadingsAreRememberedForAMinute(t *testing.T) {
	l := newStore(1)
	at := time.Now()
	for s := range 200 {
		l.Numbers(at.Add(time.Duration(s) * time.Second))
	}
	require.LessOrEqual(t, len(l.rates.readings), 63)
}
