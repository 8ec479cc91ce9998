package rooms

import (
	"context"
	"runtime"
	"sync"
	"time"
)

const (
	maxArrivals = 8192 // events from other nodes that wait to be delivered; later messages are read from the store
	// maxGather is the longest that a message waits for others to be stored with.
	maxGather = time.Millisecond
	// maxRest is how long the owner waits for work before it ends.
	maxRest = 10 * time.Millisecond
)

// queue holds the work of a room and runs the goroutine that does it, the owner. At most one owner exists at a time: the
// first entry starts it, and it ends when there has been no work for maxRest.
//
// Work is of two kinds: tasks (a message to store, a join, a leave, a deletion) and arrivals (events to deliver). Beside
// them a queue holds two notices: how far the store has come (hint), and that a gap has waited long enough (gapDue).
//
// Bounds: a message holds a slot from admit until release; every other task has a caller that waits for it. Arrivals from other
// nodes are bounded by maxArrivals, those from this node by the slots.
//
// admit, add, arrive, hint and gapIsDue may be called from any goroutine, the other methods by the owner alone. mu guards the
// fields below it; while it is held, nothing is called but needed in retire. Lock order: Hub.mu, then queue.mu.
type queue struct {
	start     func()          // runs a new owner
	abandoned <-chan struct{} // closed when admit must not wait any more
	slots     chan struct{}
	gathered  chan struct{} // receives once per wait in gather; capacity 1, so that sending never blocks
	roused    chan struct{} // receives once per rest; capacity 1, so that sending never blocks

	mu        sync.Mutex
	tasks     []task
	arrivals  []arrival
	storeHead *Head // from hint; nil: nothing new
	gapDue    bool
	position  Head // of the owner when it last took its tasks; zero: the room was not loaded
	running   bool // an owner exists
	resting   bool // the owner waits for the first entry
	retired   bool // refuses all work
	enough    int  // the number of tasks that ends the owner's wait in gather; 0: it does not wait

	// The owner's.
	gatheredLast int // tasks that came together last time
	waiter       waiter
	spare        struct { // empty slices, to be used again
		tasks    []task
		arrivals []arrival
	}
}

// task is a message to store, or something else to do.
type task struct {
	ctx  context.Context
	post *posting // nil: call do
	do   func()
}

// arrival is an event on its way to this node's members, with the publisher's context.
type arrival struct {
	ctx context.Context
	ev  *Event
}

// newQueue returns a queue for this many messages at once.
func newQueue(messages int, start func(), abandoned <-chan struct{}) *queue {
	return &queue{
		start: start, abandoned: abandoned, slots: make(chan struct{}, messages),
		gathered: make(chan struct{}, 1), roused: make(chan struct{}, 1),
	}
}

// admit adds a message, waiting for a slot while there is none. It reports false if the queue has retired.
func (q *queue) admit(ctx context.Context, t task) (bool, error) {
	select {
	case q.slots <- struct{}{}:
	default:
		select {
		case q.slots <- struct{}{}:
		case <-ctx.Done():
			return false, AsError(ctx.Err())
		case <-q.abandoned:
			return false, errClosing
		}
	}
	if !q.add(t) {
		q.release()
		return false, nil
	}
	return true, nil
}

// release frees the slot of a message that has been stored, or has failed.
func (q *queue) release() { <-q.slots }

// add adds a task. It reports false if the queue has retired.
func (q *queue) add(t task) bool {
	q.mu.Lock()
	if q.retired {
		q.mu.Unlock()
		return false
	}
	q.tasks = append(q.tasks, t)
	if q.enough > 0 && len(q.tasks) >= q.enough {
		q.enough = 0
		q.gathered <- struct{}{}
	}
	q.wake()
	return true
}

// arrive adds an event to deliver. Beyond maxArrivals it drops what comes from other nodes, and what may get lost: of a
// message it keeps that the store has it.
func (q *queue) arrive(ctx context.Context, ev *Event) {
	q.mu.Lock()
	switch {
	case q.retired:
		q.mu.Unlock()
		return
	case len(q.arrivals) < maxArrivals || ev.Relayed.IsZero() && ev.Kind != EventTyping:
		q.arrivals = append(q.arrivals, arrival{ctx, ev})
	case ev.Kind == EventMessage:
		q.storeHead = &Head{ev.Generation, ev.Message.Seq}
	}
	q.wake()
}

// hint tells the owner how far the store has come.
func (q *queue) hint(head Head) {
	q.mu.Lock()
	if q.retired {
		q.mu.Unlock()
		return
	}
	q.storeHead = &head
	q.wake()
}

// gapIsDue tells the owner that a gap has waited long enough.
func (q *queue) gapIsDue() {
	q.mu.Lock()
	if q.retired {
		q.mu.Unlock()
		return
	}
	q.gapDue = true
	q.wake()
}

// wake starts the owner if there is none, rouses it if it rests, and unlocks mu, which the caller has locked.
func (q *queue) wake() {
	start := !q.running
	q.running = true
	if q.resting {
		q.resting = false
		q.roused <- struct{}{}
	}
	q.mu.Unlock()
	if start {
		q.start()
	}
}

// at is where the owner was when it last took its tasks. It may be called from any goroutine.
func (q *queue) at() Head {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.position
}

// takeArrivals takes all events, and the notice of how far the store has come, if there is one.
func (q *queue) takeArrivals() ([]arrival, *Head) {
	q.mu.Lock()
	defer q.mu.Unlock()
	arrivals, head := q.arrivals, q.storeHead
	q.arrivals, q.spare.arrivals = q.spare.arrivals, nil
	q.storeHead, q.gapDue = nil, false
	return arrivals, head
}

// takeTasks takes all tasks and notes where the owner is. idle is true if there is no work of any kind; the owner must
// call rest then.
func (q *queue) takeTasks(position Head) (tasks []task, idle bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	tasks = q.tasks
	q.tasks, q.spare.tasks = q.spare.tasks, nil
	q.position = position
	q.resting = len(tasks) == 0 && len(q.arrivals) == 0 && q.storeHead == nil && !q.gapDue
	return tasks, q.resting
}

// reuseTasks and reuseArrivals hand back slices that were taken, so that the next entries need no new ones. That saves 1 of 11
// allocations a message, and 170 of 1,040 bytes (BenchmarkRoom/lively).
func (q *queue) reuseTasks(tasks []task) {
	clear(tasks)
	if cap(tasks) <= maxAppend {
		q.spare.tasks = tasks[:0]
	}
}

func (q *queue) reuseArrivals(arrivals []arrival) {
	clear(arrivals)
	if cap(arrivals) <= 2*maxAppend {
		q.spare.arrivals = arrivals[:0]
	}
}

// gather waits, for maxGather at most, until as many tasks have come as came together the last time: in a lively room the next
// messages are answers to those just delivered, and what is stored and sent together costs one transaction, and one system
// call for each member. A message that comes alone does not wait.
//
// Measured on the whole server, with everything observed: a delivery to 8 members took 3.9 instead of 4.7 × the CPU that gorilla's
// chat example takes, one to 200 members 0.98 instead of 1.25. BenchmarkRoom/lively stores 10 messages with an append; without gather,
// 4.
func (q *queue) gather() {
	runtime.Gosched() // others add their tasks: without it, 4 messages with an append instead of 7 if nobody waits
	q.mu.Lock()
	n := len(q.tasks)
	wait := n > 0 && n < q.gatheredLast && len(q.arrivals) == 0
	if wait {
		q.enough = q.gatheredLast
	}
	q.mu.Unlock()
	if !wait {
		if n > 0 {
			q.gatheredLast = n
		}
		return
	}
	q.waiter.await(q.gathered, maxGather)
	q.mu.Lock()
	q.enough = 0
	q.gatheredLast = len(q.tasks)
	q.mu.Unlock()
	select {
	case <-q.gathered: // sent after the time was up
	default:
	}
}

// rest waits for work for as long as most. It reports false if none came: the owner must end then. An owner could end as soon as
// it has nothing to do, but each new goroutine grows its stack anew under the store's calls: 1.4 of 34 µs a message to 8 members on
// the whole server (BenchmarkRoom/calm).
func (q *queue) rest(most time.Duration) bool {
	if most > 0 && q.waiter.await(q.roused, most) {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.resting { // work came when the time was up
		<-q.roused
		return true
	}
	q.resting, q.running = false, false
	return false
}

// retire has the queue refuse all work from now on, and reports true, unless it has an owner, or work, or is needed. needed is
// called with mu held. After true the caller owns what was the owner's.
func (q *queue) retire(needed func() bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running || q.retired || len(q.tasks)+len(q.arrivals) > 0 || needed() {
		return false
	}
	q.retired = true
	return true
}

// waiter bounds the waits of one goroutine with a timer that it uses again. The zero value is ready.
type waiter struct{ timer *time.Timer }

// await receives from ch. It reports false if that takes longer than most.
func (w *waiter) await(ch <-chan struct{}, most time.Duration) bool {
	if w.timer == nil {
		w.timer = time.NewTimer(most)
	} else {
		w.timer.Reset(most)
	}
	select {
	case <-ch:
		w.timer.Stop()
		return true
	case <-w.timer.C:
		return false
	}
}
