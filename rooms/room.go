package rooms

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Bounds of what a room does in one step.
const (
	maxAppend       = 256              // messages stored together
	maxCatchUp      = 1000             // messages read together from the store, and
	maxCatchUpBytes = 1 << 20          // bytes of their text
	maxHeld         = 2048             // messages that wait for those before them
	storeBudget     = 10 * time.Second // the longest that a room waits for the store
)

// room is a room on this node while it has members or work.
//
// Its work waits in queue, whose methods may be called from any goroutine. All other fields and methods belong to the goroutine
// that queue runs, but for hub and id, which do not change, and participants, which any goroutine may read.
type room struct {
	hub          *Hub
	id           string
	queue        *queue
	participants atomic.Int32 // clients in the room on this node

	// What the room is.
	loaded      bool   // subscribed, and the room exists as generation
	generation  int64  // of the room
	epoch       string // of the room
	deletions   int    // how often the room has been deleted while it was in memory
	unsubscribe func() // from the relay; nil: not subscribed

	// Its members.
	present     int // members since the last deletion that have not left
	audiences   []*audience
	clients     map[string]int // connections by client
	newestTurn  int64          // Event.Turn of the newest change of who is in the room, and
	newestCount int            // how many clients were in it after that change

	// How far its members are.
	delivered int64     // the newest message that was delivered here
	known     int64     // the newest message that is known to be stored
	held      []arrival // messages beyond delivered that wait for those before them, in their order
	gap       gap
	echoes    []arrival // repeated messages whose senders have not been told
	pace      pace

	encoder encoder
	parts   historyParts // read for the joins among the tasks of this turn
}

// posting is a Send under way.
type posting struct {
	message   Message
	ref       string
	from      *Member
	transport string
	received  time.Time
	done      func(*Message, bool, error)
}

func newRoom(h *Hub, id string) *room {
	r := &room{hub: h, id: id, clients: make(map[string]int), pace: pace{fallen: make(chan struct{}, 1)}}
	r.queue = newQueue(h.limits.Queue, r.start, h.gone)
	return r
}

// start starts the room's goroutine.
func (r *room) start() {
	r.hub.running.Add(1)
	go r.run()
}

// run works the queue off.
func (r *room) run() {
	for {
		r.deliverArrivals()
		r.queue.gather()
		var position Head
		if r.loaded {
			position = Head{r.generation, r.delivered}
		}
		tasks, idle := r.queue.takeTasks(position)
		if !idle {
			r.work(tasks)
		}
		r.queue.reuseTasks(tasks)
		if idle {
			most := maxRest
			if r.hub.closing.Load() {
				most = 0
			}
			if !r.queue.rest(most) {
				break
			}
		}
	}
	r.retire()
	if r.hub.running.Add(-1) == 0 && r.hub.closing.Load() {
		select {
		case r.hub.idle <- struct{}{}:
		default:
		}
	}
}

// work does tasks in their order. Messages without another task between them are stored together.
func (r *room) work(tasks []task) {
	for i := 0; i < len(tasks); {
		if tasks[i].post == nil {
			tasks[i].do()
			i++
		} else {
			n := i + 1
			for n < len(tasks) && tasks[n].post != nil && n-i < maxAppend {
				n++
			}
			r.append(tasks[i:n])
			i = n
		}
		// Members that were there when a message was published get it before others join.
		r.deliverArrivals()
	}
	r.parts = nil
}

// retire takes the room out of the hub if nobody needs it. By now the queue has no owner any more, and may start another one at any
// moment.
func (r *room) retire() {
	needed := func() bool { return r.participants.Load() > 0 }
	if needed() {
		return
	}
	r.hub.mu.Lock()
	retired := r.queue.retire(needed)
	if retired {
		delete(r.hub.active, r.id)
	}
	r.hub.mu.Unlock()
	if retired { // nothing can start the goroutine again, so that what it owned is still this one's
		r.gap.end()
		if r.unsubscribe != nil {
			r.unsubscribe()
		}
	}
}

// load subscribes to the room's events and learns from the store how far it has come. Other nodes may have deleted the room, or
// created it anew: where there are any, the store is asked each time.
func (r *room) load(ctx context.Context) error {
	if r.loaded && !r.hub.shared {
		return nil
	}
	if r.unsubscribe == nil {
		unsubscribe, err := r.hub.relay.Subscribe(ctx, r.id, r.queue.arrive)
		if err != nil {
			return err
		}
		r.unsubscribe = unsubscribe
	}
	info, err := r.hub.store.Room(ctx, r.id)
	switch {
	case err == nil:
		r.adopt(ctx, info)
	case errors.Is(err, ErrNotFound):
		r.foundDeleted(ctx)
	default:
		return err
	}
	return nil
}

// adopt takes over what the store says of the room.
func (r *room) adopt(ctx context.Context, info Room) {
	if r.loaded && info.Generation != r.generation {
		r.foundDeleted(ctx)
	}
	if !r.loaded {
		r.loaded, r.generation, r.epoch = true, info.Generation, info.Epoch
		r.delivered, r.known, r.held = info.LastSeq, info.LastSeq, r.held[:0]
		r.newestTurn, r.newestCount = 0, 0
	}
	r.known = max(r.known, info.LastSeq)
}

// budget bounds what is done for ctx's caller by storeBudget. It keeps ctx's values, but not its end; it ends when the Hub gives
// its work up.
func (r *room) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeBudget)
	stop := context.AfterFunc(r.hub.work, cancel)
	return ctx, func() { stop(); cancel() }
}

// append stores messages in one call, publishes them and tells their senders.
func (r *room) append(tasks []task) {
	ctx, cancel := context.WithTimeout(r.hub.work, storeBudget)
	defer cancel()
	drafts := make([]Draft, len(tasks))
	for i, t := range tasks {
		drafts[i] = Draft{Ctx: t.ctx, Message: &t.post.message, Ref: t.post.ref}
	}
	var err error = errClosing
	if ctx.Err() == nil {
		err = r.hub.store.Append(ctx, r.id, drafts)
	}
	for i, t := range tasks {
		p := t.post
		if err == nil {
			ev := &Event{
				Kind: EventMessage, RoomID: r.id, Generation: p.message.Generation, ClientID: p.message.ClientID, Message: &p.message,
				Transport: p.transport, Received: p.received, Ref: p.ref, from: p.from,
			}
			repeated := drafts[i].Repeated
			if repeated {
				r.repeat(arrival{t.ctx, ev})
			} else {
				r.hub.publish(t.ctx, ev)
			}
			p.done(&p.message, repeated, nil)
		} else {
			p.done(nil, false, AsError(err))
		}
		r.queue.release()
	}
	if errors.Is(err, ErrNotFound) {
		r.foundDeleted(ctx)
	}
}

// delete deletes the room from the store and publishes that.
func (r *room) delete(ctx context.Context) error {
	ctx, cancel := r.budget(ctx)
	defer cancel()
	r.hub.census.delete()
	generation, err := r.hub.store.DeleteRoom(ctx, r.id)
	r.hub.census.deleted(err == nil)
	if errors.Is(err, ErrNotFound) {
		r.foundDeleted(ctx)
	}
	if err != nil {
		return err
	}
	r.hub.publish(ctx, &Event{Kind: EventRoomDeleted, RoomID: r.id, Generation: generation, Received: time.Now()})
	return nil
}

// foundDeleted is called when the store has no room of this generation any more. Other nodes may have failed to say so: the
// members are told now.
func (r *room) foundDeleted(ctx context.Context) {
	if !r.loaded {
		return
	}
	r.deleted(arrival{ctx, &Event{Kind: EventRoomDeleted, RoomID: r.id, Generation: r.generation, Received: time.Now()}})
}

// deleted delivers a, which says that the room is deleted, and forgets the room and its members. Memberships end before their
// connections are told: who joins again on hearing it must not be taken for a member that is still there.
func (r *room) deleted(a arrival) {
	for _, audience := range r.audiences {
		for _, m := range audience.members {
			m.ended.Store(true)
		}
	}
	r.deliver([]arrival{a})
	r.hub.presence.Forget(r.generation)
	r.loaded = false
	r.delivered, r.known = 0, 0
	clear(r.held)
	r.held = r.held[:0]
	r.echoes = nil
	r.deletions++
	r.removeAll()
}
