package promises

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
)

// node is a Hub with its connections to the store, to the other nodes and to its clients, all of which can fail.
type node struct {
	*rooms.Hub
	world *world
	store rooms.Store // without failures
	local relay.Local
	dead  atomic.Bool
	calls sync.WaitGroup // of the store, under way

	mu     sync.Mutex
	paused chan struct{} // closed when the node continues; nil: it is not paused
	cutOff bool          // no event goes to another node or comes from one
	away   outage
}

// outage is how a store fails.
type outage int

const (
	wellStore  outage = iota
	refusing          // nothing is done
	answerLost        // it is done, and the caller gets an error
)

var (
	errAway = errors.New("the store is away")
	errDead = errors.New("the node is dead")
)

// pass waits while the node is paused. It reports false if the node is dead.
func (n *node) pass() bool {
	for {
		n.mu.Lock()
		paused := n.paused
		n.mu.Unlock()
		if paused == nil || n.dead.Load() {
			return !n.dead.Load()
		}
		<-paused
	}
}

func (n *node) pause() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused == nil {
		n.paused = make(chan struct{})
	}
}

func (n *node) goOn() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.paused != nil {
		close(n.paused)
		n.paused = nil
	}
}

func (n *node) setCutOff(is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cutOff = is
}

func (n *node) setAway(is outage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = is
}

// reachable reports whether the node can send and receive events.
func (n *node) reachable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.cutOff && !n.dead.Load()
}

// kill ends the node without telling anybody. It returns when the node does not use the store any more.
func (n *node) kill() {
	n.dead.Store(true)
	n.goOn()
	n.world.hangUp(n)
	n.calls.Wait()
}

// troubled is the Store of a node, with failures.
type troubled struct {
	rooms.Store
	node *node
}

// call calls f, which uses the store, with all failures that can happen before and after it.
func (s troubled) call(ctx context.Context, f func() error) error {
	n := s.node
	if err := s.travel(ctx); err != nil {
		return err
	}
	n.mu.Lock()
	away := n.away
	n.mu.Unlock()
	if away == refusing {
		return errAway
	}
	n.calls.Add(1)
	err := f()
	n.calls.Done()
	if !n.world.db.shared() {
		// A store in the same process always answers.
		if !n.pass() {
			return errDead
		}
		return err
	}
	if late := s.travel(ctx); late != nil {
		return late
	}
	if away == answerLost {
		return errAway
	}
	return err
}

// travel takes the time of the way to the store, or back.
func (s troubled) travel(ctx context.Context) error {
	if !s.node.pass() {
		return errDead
	}
	timer := time.NewTimer(s.node.world.latency())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !s.node.pass() {
		return errDead
	}
	return ctx.Err()
}

func (s troubled) CreateRoom(ctx context.Context, room rooms.Room) (out rooms.Room, created bool, err error) {
	err = s.call(ctx, func() (err error) { out, created, err = s.Store.CreateRoom(ctx, room); return err })
	return out, created, err
}

func (s troubled) Room(ctx context.Context, id string) (out rooms.Room, err error) {
	err = s.call(ctx, func() (err error) { out, err = s.Store.Room(ctx, id); return err })
	return out, err
}

func (s troubled) DeleteRoom(ctx context.Context, id string) (gen int64, err error) {
	err = s.call(ctx, func() (err error) { gen, err = s.Store.DeleteRoom(ctx, id); return err })
	return gen, err
}

func (s troubled) Heads(ctx context.Context, ids []string) (heads map[string]rooms.Head, n int, err error) {
	err = s.call(ctx, func() (err error) { heads, n, err = s.Store.Heads(ctx, ids); return err })
	return heads, n, err
}

// Append works on copies: a call that fails late must not have changed the caller's messages.
func (s troubled) Append(ctx context.Context, id string, drafts []rooms.Draft) error {
	copies := make([]rooms.Draft, len(drafts))
	for i, d := range drafts {
		m := *d.Message
		copies[i] = rooms.Draft{Ctx: d.Ctx, Message: &m, Ref: d.Ref}
	}
	err := s.call(ctx, func() error { return s.Store.Append(ctx, id, copies) })
	if err == nil {
		for i, d := range copies {
			*drafts[i].Message, drafts[i].Repeated = *d.Message, d.Repeated
		}
	}
	return err
}

func (s troubled) After(ctx context.Context, id string, seq int64, most rooms.ReadLimit) (list []*rooms.Message, more bool, err error) {
	err = s.call(ctx, func() (err error) { list, more, err = s.Store.After(ctx, id, seq, most); return err })
	return list, more, err
}

func (s troubled) Newest(ctx context.Context, id string, seq int64, limit int, most rooms.ReadLimit) (list []*rooms.Message, more bool, err error) {
	err = s.call(ctx, func() (err error) { list, more, err = s.Store.Newest(ctx, id, seq, limit, most); return err })
	return list, more, err
}

func (s troubled) DeleteMessage(ctx context.Context, id string) error {
	return s.call(ctx, func() error { return s.Store.DeleteMessage(ctx, id) })
}

// way is the Relay of a node.
type way struct{ node *node }

func (w way) Publish(ctx context.Context, ev *rooms.Event) error {
	n := w.node
	n.pass()
	_ = n.local.Publish(ctx, ev)
	if !n.reachable() {
		return nil
	}
	for _, other := range n.world.others(n) {
		for _, d := range n.world.fate() {
			copied := *ev
			copied.Relayed, copied.Ref = time.Now(), ""
			time.AfterFunc(d, func() {
				if other.reachable() && other.pass() {
					_ = other.local.Publish(context.Background(), &copied)
				}
			})
		}
	}
	return nil
}

func (w way) Subscribe(ctx context.Context, id string, handle func(context.Context, *rooms.Event)) (func(), error) {
	return w.node.local.Subscribe(ctx, id, handle)
}

func (w way) Close() error { return nil }

// attendance is which clients are in which rooms, by generation, for all nodes.
type attendance struct {
	mu    sync.Mutex
	rooms map[int64]map[string]int
	turns map[int64]int64
}

// share is the Presence of a node.
type share struct {
	*attendance
	told func(rooms.Change)
}

func (s *share) Watch(told func(rooms.Change)) { s.told = told }

func (s *share) Enter(ctx context.Context, p rooms.Participant) <-chan struct{} {
	s.move(ctx, p, 1)
	return nil
}

func (s *share) Exit(ctx context.Context, p rooms.Participant) { s.move(ctx, p, -1) }

func (s *share) move(ctx context.Context, p rooms.Participant, by int) {
	s.mu.Lock()
	clients := s.rooms[p.Generation]
	if clients == nil {
		clients = make(map[string]int)
		s.rooms[p.Generation] = clients
	}
	clients[p.ClientID] += by
	n := clients[p.ClientID]
	if n <= 0 {
		delete(clients, p.ClientID)
	}
	turned := by == 1 && n == 1 || by == -1 && n == 0
	if turned {
		s.turns[p.Generation]++
	}
	c := rooms.Change{Ctx: ctx, Participant: p, Entered: by == 1, Participants: len(clients), Turn: s.turns[p.Generation]}
	s.mu.Unlock()
	if turned {
		s.told(c)
	}
}

func (s *share) Forget(generation int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rooms, generation)
}

func (s *share) Fill(context.Context, []rooms.Room) error { return nil }
func (s *share) Close(context.Context) error              { return nil }

// dice are random numbers, the same each time that a run is repeated.
type dice struct {
	mu sync.Mutex
	*rand.Rand
}

func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.IntN(n)
}

// latency returns how long a way to the store takes. No two results are equal.
func (w *world) latency() time.Duration {
	return 50*time.Microsecond + time.Duration(w.dice.below(int(w.plan.Slowness)+1))
}

// fate returns after how long each copy of an event arrives on another node; none: it is lost.
func (w *world) fate() []time.Duration {
	soon := func() time.Duration { return 50*time.Microsecond + time.Duration(w.dice.below(int(w.plan.Lateness)+1)) }
	switch roll := w.dice.below(100); {
	case roll < w.plan.Lost:
		return nil
	case roll < w.plan.Lost+w.plan.Twice:
		return []time.Duration{soon(), soon()}
	default:
		return []time.Duration{soon()}
	}
}
