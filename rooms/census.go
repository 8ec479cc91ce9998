package rooms

import (
	"context"
	"sync"
)

// census counts the rooms that exist, and keeps this node from creating more than limit. It counts the creations and deletions of
// this node one by one; those of other nodes it learns from surveys, which are answers of the store to how many rooms there are.
// All methods may be called from any goroutine. mu is never held while anything else is called.
type census struct {
	limit int

	mu       sync.Mutex
	known    int           // rooms that exist, as far as is known
	creating int           // creations under way
	deleting int           // deletions under way
	changes  int           // creations and deletions that have begun so far
	surveys  int           // surveys that have begun so far
	newest   int           // the newest survey that was used
	settled  chan struct{} // closed when a creation has ended; nil: nobody waits for that
}

// count returns how many rooms exist, as far as is known.
func (c *census) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// create takes a place for a new room. It reports false if there is none; if that depends on creations that are under way, it
// waits for them. After true, created must be called.
func (c *census) create(ctx context.Context) (bool, error) {
	for {
		c.mu.Lock()
		if c.known+c.creating < c.limit {
			c.creating++
			c.changes++
			c.mu.Unlock()
			return true, nil
		}
		if c.known >= c.limit {
			c.mu.Unlock()
			return false, nil
		}
		if c.settled == nil {
			c.settled = make(chan struct{})
		}
		settled := c.settled
		c.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// created ends a creation: there is a new room, or there is not.
func (c *census) created(new bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.creating--
	if new {
		c.known++
	}
	if c.settled != nil {
		close(c.settled)
		c.settled = nil
	}
}

// delete begins a deletion. deleted must be called when it has ended.
func (c *census) delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleting++
	c.changes++
}

// deleted ends a deletion: a room is gone, or it is not.
func (c *census) deleted(gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleting--
	if gone {
		c.known--
	}
}

// survey must be called before the store is asked how many rooms there are; counted, which it returns, is called with the answer.
// The answer is not used if this node was creating or deleting a room meanwhile, as it may or may not include that room, or
// if a later survey has been used already.
func (c *census) survey() (counted func(rooms int)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.surveys++
	survey, changes, quiet := c.surveys, c.changes, c.creating+c.deleting == 0
	return func(rooms int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if quiet && c.changes == changes && survey > c.newest {
			c.known, c.newest = rooms, survey
		}
	}
}
