package rooms_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// How long tests wait for a condition, and how often they look.
const (
	waitFor = 20 * time.Second
	tick    = time.Millisecond
)
