package web

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// healthTimeout bounds how long the store may take to say that it is well, and readyTimeout how long it may take for the
	// server to count as ready: probes often wait no longer than a second.
	healthTimeout = 2 * time.Second
	readyTimeout  = 900 * time.Millisecond
	// readyAge is how old an answer may be that readiness goes by, so that probes cost little however many there are.
	readyAge = 2 * time.Second
)

var errNoAnswer = errors.New("the store does not answer in time")

// checkup asks the store whether it is well. However many ask at once, and however long the store takes, it is asked by one
// goroutine at a time; wait waits for it.
type checkup struct {
	ping func(context.Context) error

	mu      sync.Mutex
	asking  chan struct{} // closed when the store has answered; nil: it is not being asked
	began   time.Time     // when it was asked the last time
	checked time.Time     // when it answered; zero: never
	err     error         // what it answered
	bad     bool          // what ready said last
}

// ask returns what the store says, or said no longer ago than age. It waits until timeout has passed since the store was
// asked, or ctx ends.
func (c *checkup) ask(ctx context.Context, age, timeout time.Duration) error {
	c.mu.Lock()
	if c.asking == nil && !c.checked.IsZero() && time.Since(c.checked) < age {
		defer c.mu.Unlock()
		return c.err
	}
	if c.asking == nil {
		c.asking, c.began = make(chan struct{}), time.Now()
		go c.run(context.WithoutCancel(ctx))
	}
	asking, left := c.asking, timeout-time.Since(c.began)
	c.mu.Unlock()
	patience := time.NewTimer(left)
	defer patience.Stop()
	select {
	case <-asking:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-patience.C:
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *checkup) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err := c.ping(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.checked = err, time.Now()
	close(c.asking)
	c.asking = nil
}

// changed notes whether the store can be used, and reports whether that is news.
func (c *checkup) changed(bad bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.bad
	c.bad = bad
	return was != bad
}

// wait waits until the store is not being asked any more, or ctx ends.
func (c *checkup) wait(ctx context.Context) {
	c.mu.Lock()
	asking := c.asking
	c.mu.Unlock()
	if asking == nil {
		return
	}
	select {
	case <-asking:
	case <-ctx.Done():
	}
}
