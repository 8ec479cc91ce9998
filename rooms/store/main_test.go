package store

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// How long tests wait for a condition, and how often they look.
const (
	waitFor = 10 * time.Second
	tick    = time.Millisecond
)
