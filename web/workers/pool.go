package workers

import (
	"sync"
	"time"
)

// Task is work that is done in parts, none of which waits.
type Task interface {
	// Run does a part of the work. It may use and grow *scratch until it returns; nothing may keep a reference to it. It
	// reports whether the task is to run again, behind the tasks that are ready now.
	Run(scratch *[]byte) (again bool)
}

// Pool is a few goroutines that run Tasks, and one that rings Alarms. Its methods may be called from any goroutine.
//
// mu guards ready and stop; it is held for no longer than it takes to add or take entries.
type Pool struct {
	clock
	workers sync.WaitGroup
	waiting sync.WaitGroup // the goroutines that Go started

	mu    sync.Mutex
	wake  sync.Cond
	ready []Task // in the order in which they were added
	stop  bool
}

// NewPool starts a pool with n goroutines for tasks. grain is the precision of its alarms: those that are due within grain
// of each other ring together, so that many of them do not wake the goroutine many times. Close must be called.
func NewPool(n int, grain time.Duration) *Pool {
	p := &Pool{}
	p.wake.L = &p.mu
	for range n {
		p.workers.Go(p.work)
	}
	p.clock.begin(grain)
	return p
}

// Close ends the goroutines and waits for them, and for those that Go has started. Tasks that are ready still run; alarms do
// not ring any more.
func (p *Pool) Close() {
	p.clock.end()
	p.mu.Lock()
	p.stop = true
	p.mu.Unlock()
	p.wake.Broadcast()
	p.workers.Wait()
	p.waiting.Wait()
}

// Add makes t ready to run. A task must not be added again before it has returned false.
func (p *Pool) Add(t Task) {
	p.mu.Lock()
	p.ready = append(p.ready, t)
	p.mu.Unlock()
	p.wake.Signal()
}

// Go calls f, which may wait, in a goroutine of its own.
func (p *Pool) Go(f func()) { p.waiting.Go(f) }

// atOnce is how many tasks a goroutine takes together: few enough that another one finds some.
const atOnce = 16

// Sizes of a goroutine's scratch memory, in bytes: at first, and the most that is kept for the next task.
const (
	firstScratch = 4 << 10
	maxScratch   = 64 << 10
)

func (p *Pool) work() {
	scratch := make([]byte, 0, firstScratch)
	var mine, again []Task
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
		for i, t := range mine {
			if t.Run(&scratch) {
				again = append(again, t)
			}
			mine[i] = nil
		}
		if cap(scratch) > maxScratch {
			scratch = make([]byte, 0, firstScratch)
		}
	}
}
