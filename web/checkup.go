package web

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// healthTimeout bounds how long the store may take to answer for GET /health, readyTimeout for GET /readyz: probes often
	// wait no longer than a second.
	healthTimeout = 2 * time.Second
	readyTimeout  = 900 * time.Millisecond
	// readyAge is how old an answer of the store may be that GET /readyz uses, so that many probes cost little.
	readyAge = 2 * time.Second
)

var errNoAnswer = errors.New("the store does not answer in time")

// checkup asks the store whether it can be used. One goroutine at a time asks it, however many call ask and however long the
// store takes; wait waits for that goroutine.
type checkup struct {
	ping func(context.Context) error

	mu      sync.Mutex
	asking  chan struct{} // closed when the store has answered; nil: nobody asks it
	began   time.Time     // when it was last asked
	checked time.Time     // when it last answered; zero: never
	err     error         // what it last answered
	bad     bool          // what changed was last told
}

// ask returns what the store answers, or has answered no longer ago than age. It waits for the answer until timeout has passed
// since the store was asked, or until ctx ends.
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

// changed records whether the store can be used, and reports whether that has changed.
func (c *checkup) changed(bad bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.bad
	c.bad = bad
	return was != bad
}

// wait waits until nobody asks the store any more, or until ctx ends.
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
