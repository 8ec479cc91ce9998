package engineio

import (
	"container/heap"
	"sync"
	"time"
)

// moment is a time as nanoseconds since the server started. Zero means never.
type moment int64

// earliest returns the first of the moments that is not never.
func earliest(ms ...moment) moment {
	var first moment
	for _, m := range ms {
		if m != 0 && (first == 0 || m < first) {
			first = m
		}
	}
	return first
}

// sweeper is the one clock of all sessions of a server: it calls tick on those whose time has come. What is due within
// grain is done together, so that many sessions do not wake it many times.
//
// mu guards the fields below it, and the at and dueAt of every session. It may be taken while a session's mu is held, not the other way
// round.
type sweeper struct {
	start time.Time
	grain time.Duration
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	due     dueHeap
	planned moment // when the goroutine will look next
}

func newSweeper(grain time.Duration) *sweeper {
	w := &sweeper{
		start: time.Now(),
		grain: grain,
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *sweeper) now() moment { return moment(time.Since(w.start)) }

func (w *sweeper) in(d time.Duration) moment { return w.now() + moment(d) }

// close ends the goroutine and waits for it.
func (w *sweeper) close() {
	close(w.stop)
	<-w.done
}

// set says when s is to be ticked next; never takes it out.
func (w *sweeper) set(s *Session, at moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case at == 0 && s.at >= 0:
		heap.Remove(&w.due, s.at)
	case at == 0:
	case s.at >= 0:
		s.dueAt = at
		heap.Fix(&w.due, s.at)
	default:
		s.dueAt = at
		heap.Push(&w.due, s)
	}
	if at != 0 && at < w.planned {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *sweeper) run() {
	defer close(w.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []*Session
	var last moment // when it was swept
	for {
		t := w.now()
		w.mu.Lock()
		w.planned = t + moment(time.Hour)
		if len(w.due) > 0 {
			w.planned = max(w.due[0].dueAt, last+moment(w.grain))
		}
		timer.Reset(time.Duration(w.planned - t))
		w.mu.Unlock()
		select {
		case <-w.stop:
			return
		case <-w.wake:
			continue
		case <-timer.C:
		}
		last = w.now()
		w.mu.Lock()
		for len(w.due) > 0 && w.due[0].dueAt <= last {
			batch = append(batch, heap.Pop(&w.due).(*Session))
		}
		w.mu.Unlock()
		for i, s := range batch {
			s.tick(last)
			batch[i] = nil
		}
		batch = batch[:0]
	}
}

// dueHeap holds sessions, the first due on top.
type dueHeap []*Session

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].dueAt < h[j].dueAt }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *dueHeap) Push(x any) {
	s := x.(*Session)
	s.at = len(*h)
	*h = append(*h, s)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	s.at = -1
	return s
}
