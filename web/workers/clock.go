package workers

import (
	"container/heap"
	"sync"
	"time"
)

// Moment is a time, in nanoseconds since the Pool was made. Zero means never.
type Moment int64

// Earliest returns the first of the moments that is not never.
func Earliest(ms ...Moment) Moment {
	var first Moment
	for _, m := range ms {
		if m != 0 && (first == 0 || m < first) {
			first = m
		}
	}
	return first
}

// Alarm is the time at which its Owner is to be told. It rings once; Pool.Set sets it, any number of times.
type Alarm struct {
	// Owner is told of the time, by the goroutine that all alarms of a Pool share: Ring must not wait.
	Owner interface{ Ring(now Moment) }

	place int // in the heap, counted from 1; 0: the alarm is not set
	due   Moment
}

// clock rings alarms in one goroutine.
//
// mu guards the fields below it, and place and due of every alarm. No foreign code is called while it is held.
type clock struct {
	start time.Time
	grain time.Duration
	hurry chan struct{} // an alarm was set that rings before next
	stop  chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	due  alarms
	next Moment // when the goroutine will look next
}

func (c *clock) begin(grain time.Duration) {
	c.start, c.grain = time.Now(), grain
	c.hurry, c.stop, c.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go c.run()
}

// end ends the goroutine and waits for it.
func (c *clock) end() {
	close(c.stop)
	<-c.done
}

// Grain is the precision of the alarms.
func (c *clock) Grain() time.Duration { return c.grain }

// At is the moment of a time, which is not never.
func (c *clock) At(t time.Time) Moment { return max(1, Moment(t.Sub(c.start))) }

// In is the moment in which d will have passed.
func (c *clock) In(d time.Duration) Moment { return Moment(time.Since(c.start) + d) }

// Set has a ring at this moment, and not at the one that was set before; never keeps it from ringing. An alarm that is about
// to ring may do so all the same.
func (c *clock) Set(a *Alarm, at Moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at == 0 && a.place > 0:
		heap.Remove(&c.due, a.place-1)
	case at == 0:
	case a.place > 0:
		a.due = at
		heap.Fix(&c.due, a.place-1)
	default:
		a.due = at
		heap.Push(&c.due, a)
	}
	if at != 0 && at < c.next {
		select {
		case c.hurry <- struct{}{}:
		default:
		}
	}
}

func (c *clock) run() {
	defer close(c.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var batch []*Alarm
	var last Moment // when alarms rang
	for {
		now := c.In(0)
		c.mu.Lock()
		c.next = now + Moment(time.Hour)
		if len(c.due) > 0 {
			c.next = max(c.due[0].due, last+Moment(c.grain))
		}
		timer.Reset(time.Duration(c.next - now))
		c.mu.Unlock()
		select {
		case <-c.stop:
			return
		case <-c.hurry:
			continue
		case <-timer.C:
		}
		last = c.In(0)
		c.mu.Lock()
		for len(c.due) > 0 && c.due[0].due <= last {
			batch = append(batch, heap.Pop(&c.due).(*Alarm))
		}
		c.mu.Unlock()
		for i, a := range batch {
			a.Owner.Ring(last)
			batch[i] = nil
		}
		batch = batch[:0]
	}
}

// alarms is a heap, the first due on top.
type alarms []*Alarm

func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].due < h[j].due }

func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *alarms) Push(x any) {
	a := x.(*Alarm)
	*h = append(*h, a)
	a.place = len(*h)
}

func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.place = 0
	return a
}
