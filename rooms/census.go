package rooms

import (
	"context"
	"sync"
)

// census counts the rooms that exist, as far as this node has seen, and keeps them within a limit. This node's own creations
// and deletions are counted one by one; what the store lists in between sets the count right where other nodes have changed it.
// Its methods may be called from any goroutine.
type census struct {
	limit int

	mu       sync.Mutex
	known    int
	creating int           // places that are taken for rooms that may come to exist
	deleting int           // rooms that may be about to go
	changes  int           // creations and deletions that have begun
	surveys  int           // that have begun
	newest   int           // of the surveys that were heeded
	settled  chan struct{} // closed when a creation has ended; nil: nobody waits for that
}

func (c *census) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// create takes a place for a room, and reports false if there is none. Where it depends on creations that are under way,
// it waits for them. created must follow.
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

// created says what became of the place that create has taken: there is a new room, or it was not needed.
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

// delete says that a room may be about to go. deleted must follow.
func (c *census) delete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleting++
	c.changes++
}

func (c *census) deleted(gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleting--
	if gone {
		c.known--
	}
}

// survey is to be called before the store is asked how many rooms there are, and what it returns with the answer. The answer
// is not heeded if a room was being created or deleted meanwhile, which may or may not be in it, or if a later one was.
func (c *census) survey() (found func(rooms int)) {
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
