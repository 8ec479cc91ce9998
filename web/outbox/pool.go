package outbox

import (
	"sync"
)

// Pool is the few goroutines that write for many queues. Its methods may be called from any goroutine.
//
// mu guards ready and stop; it is held for no longer than it takes to add or take entries.
type Pool struct {
	workers sync.WaitGroup
	slow    sync.WaitGroup // queues that wait for their peer in a goroutine of their own

	mu    sync.Mutex
	wake  sync.Cond
	ready []*Queue // in the order in which they became so
	stop  bool
}

// NewPool starts n goroutines; Close ends them.
func NewPool(n int) *Pool {
	p := &Pool{}
	p.wake.L = &p.mu
	for range n {
		p.workers.Go(p.work)
	}
	return p
}

// Close ends the goroutines and waits for them. All queues must have been closed.
func (p *Pool) Close() {
	p.mu.Lock()
	p.stop = true
	p.mu.Unlock()
	p.wake.Broadcast()
	p.workers.Wait()
	p.slow.Wait()
}

func (p *Pool) add(q *Queue) {
	p.mu.Lock()
	p.ready = append(p.ready, q)
	p.mu.Unlock()
	p.wake.Signal()
}

// atOnce is how many queues a worker takes from the list together: few enough that another worker finds some.
const atOnce = 16

func (p *Pool) work() {
	scratch := make([]byte, 0, 4096)
	var mine, again []*Queue
	for {
		p.mu.Lock()
		p.ready = append(p.ready, again...)
		again = again[:0]
		for len(p.ready) == 0 && !p.stop {
			p.wake.Wait()
		}
		if len(p.ready) == 0 {
			p.mu.Unlock()
			return
		}
		n := min(atOnce, len(p.ready))
		mine = append(mine[:0], p.ready[:n]...)
		left := copy(p.ready, p.ready[n:])
		clear(p.ready[left:])
		p.ready = p.ready[:left]
		p.mu.Unlock()
		for i, q := range mine {
			if q.flush(&scratch) {
				again = append(again, q)
			}
			mine[i] = nil
		}
		if cap(scratch) > maxWrite {
			scratch = make([]byte, 0, 4096)
		}
	}
}
