package rooms

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a room's goroutine does in one step.
const (
	maxAppend       = 256              // messages stored together
	maxCatchUp      = 1000             // messages read together from the store, and
	maxCatchUpBytes = 1 << 20          // bytes of their text
	maxHeld         = 2048             // messages that wait for those before them
	maxArrivals     = 8192             // events that wait to be delivered; what comes beyond is read from the store
	storeBudget     = 10 * time.Second // the longest that a room waits for the store
)

// room is a room on this node while it has members or work.
//
// Work comes in two lines: tasks (messages to store, joins, leaves, deletion) and arrivals (events to deliver, which the
// relay puts there). They are worked off by one goroutine at a time, started by whoever adds the first entry and ended
// when there has been none for a while: it owns everything below "owned". mu guards the lines, running, resting and
// retired, and is never held while anything else is called.
type room struct {
	hub *Hub
	id  string
	// slots has an element for every message between admit and its done: the bound of the line.
	slots chan struct{}
	// enough is told when tasks has as many entries as wanted; it has room for the one time that it is told for each wait.
	enough chan struct{}
	// rouse is told of the first entry when the goroutine rests; it has room for the one time that it is told for each rest.
	rouse        chan struct{}
	participants atomic.Int32 // written by the owner

	mu       sync.Mutex
	tasks    []task
	arrivals []arrival
	news     *Head // what the store was found to hold; nil: nothing new
	due      bool  // a gap has waited long enough
	head     Head  // where the room was when its goroutine last looked here; zero: not loaded
	running  bool
	resting  bool // the goroutine waits for an entry
	retired  bool // no longer in the hub: takes no more work
	wanted   int  // entries of tasks that the goroutine waits for; 0: it does not

	// owned
	loaded    bool      // subscribed, and the room exists as gen
	gen       int64     // the room's generation
	epoch     string    // and its epoch
	life      int       // how often the room has been deleted while it was in memory
	present   int       // members of this life that have not left
	seq       int64     // the newest message that was delivered here
	want      int64     // the newest message that is known to be stored
	held      []arrival // messages beyond seq that wait for those before them, in their order
	echoes    []arrival // repeated messages whose senders have not been told
	gap       gap
	turn      int64 // of the newest change of who is in the room, and
	count     int   // how many were after it
	audiences []*audience
	clients   map[string]int // connections by client
	cancel    func()         // of the relay's subscription
	together  int            // entries that came together last time
	patience  *time.Timer    // bounds its waits
	spare     []task         // the slice that tasks is not, for reuse
	early     []arrival      // as spare, for arrivals
	scratch   []byte         // where events are encoded, and
	ends      []int          // where in it each of them ends
	parts     []*part        // of the history, that joiners were handed since it began to do the tasks that it does
	pace      pace
}

// audience is the members that speak one wire format.
type audience struct {
	format  Format
	members []*Member
}

// task is one entry of a room's line: a message to store, or something else to do.
type task struct {
	ctx  context.Context
	post *pending
	do   func()
}

// pending is a message on its way to being published.
type pending struct {
	message   Message
	ref       string
	from      *Member
	transport string
	received  time.Time
	done      func(*Message, bool, error)
}

func newRoom(h *Hub, id string) *room {
	r := &room{hub: h, id: id, slots: make(chan struct{}, h.limits.Line), enough: make(chan struct{}, 1), rouse: make(chan struct{}, 1),
		clients: make(map[string]int)}
	r.pace.caughtUp = make(chan struct{}, 1)
	return r
}

// admit puts a message into the line, waiting while it is full. It reports false if the room has retired.
func (r *room) admit(ctx context.Context, t task) (bool, error) {
	select {
	case r.slots <- struct{}{}:
	default:
		select {
		case r.slots <- struct{}{}:
		case <-ctx.Done():
			return false, AsError(ctx.Err())
		case <-r.hub.gone:
			return false, errClosing
		}
	}
	if !r.enqueue(t) {
		<-r.slots
		return false, nil
	}
	return true, nil
}

// enqueue puts t into the line. It reports false if the room has retired.
func (r *room) enqueue(t task) bool {
	r.mu.Lock()
	if r.retired {
		r.mu.Unlock()
		return false
	}
	r.tasks = append(r.tasks, t)
	if r.wanted > 0 && len(r.tasks) >= r.wanted {
		r.wanted = 0
		r.enough <- struct{}{}
	}
	r.wake()
	return true
}

// arrive is the relay's handler: it puts ev into the line of what is to be delivered. The line's bound is for what comes
// from elsewhere: this node's messages are bounded by slots.
func (r *room) arrive(ctx context.Context, ev *Event) {
	r.mu.Lock()
	switch {
	case r.retired:
		r.mu.Unlock()
		return
	case len(r.arrivals) < maxArrivals || ev.Relayed.IsZero() && ev.Kind != EventTyping:
		r.arrivals = append(r.arrivals, arrival{ctx, ev})
	case ev.Kind == EventMessage:
		r.news = &Head{ev.Generation, ev.Message.Seq}
	}
	r.wake()
}

// hint tells the room what the store holds.
func (r *room) hint(head Head) {
	r.mu.Lock()
	if r.retired {
		r.mu.Unlock()
		return
	}
	r.news = &head
	r.wake()
}

// wake starts the room's goroutine unless it runs, or rouses it if it rests, and unlocks mu.
func (r *room) wake() {
	start := !r.running
	r.running = true
	if r.resting {
		r.resting = false
		r.rouse <- struct{}{}
	}
	r.mu.Unlock()
	if start {
		r.hub.running.Add(1)
		go r.run()
	}
}

// run works off the lines. It is the goroutine that owns the room.
func (r *room) run() {
	for {
		r.deliverArrivals()
		r.gather()
		r.mu.Lock()
		tasks := r.tasks
		r.tasks, r.spare = r.spare, nil
		r.head = Head{}
		if r.loaded {
			r.head = Head{r.gen, r.seq}
		}
		r.resting = len(tasks) == 0 && len(r.arrivals) == 0 && r.news == nil && !r.due
		rest := r.resting
		r.mu.Unlock()
		if rest {
			if r.rest() {
				continue
			}
			break
		}
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
			// What was published comes first to the members that were there when it was.
			r.deliverArrivals()
		}
		r.parts = nil
		clear(tasks)
		if cap(tasks) <= maxAppend {
			r.spare = tasks[:0]
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

// rest waits for an entry. It reports false if there was none for maxRest, or the hub closes: then the goroutine must end.
// It could end at once, but a goroutine's stack grows anew each time, under a store's many calls for a good part of
// what an append costs.
func (r *room) rest() bool {
	if !r.hub.closing.Load() {
		if r.await(r.rouse, maxRest) {
			return true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.resting { // roused when the time was up
		<-r.rouse
		return true
	}
	r.resting, r.running = false, false
	return false
}

// await waits for ch to be told, and reports false if that takes longer than most.
func (r *room) await(ch <-chan struct{}, most time.Duration) bool {
	if r.patience == nil {
		r.patience = time.NewTimer(most)
	} else {
		r.patience.Reset(most)
	}
	select {
	case <-ch:
		r.patience.Stop()
		return true
	case <-r.patience.C:
		return false
	}
}

// gather lets what comes together be stored and sent together: one transaction and one system call a member instead of
// several. In a lively room the next messages are about to come when the last have been delivered, often as their
// answers; so as many are waited for as came together the last time, for maxGather at most. A message that comes alone
// does not wait.
func (r *room) gather() {
	runtime.Gosched() // others who have something to send get their turn
	r.mu.Lock()
	n := len(r.tasks)
	wait := n > 0 && n < r.together && len(r.arrivals) == 0
	if wait {
		r.wanted = r.together
	}
	r.mu.Unlock()
	if !wait {
		if n > 0 {
			r.together = n
		}
		return
	}
	r.await(r.enough, maxGather)
	r.mu.Lock()
	r.wanted = 0
	r.together = len(r.tasks)
	r.mu.Unlock()
	select {
	case <-r.enough: // told after the time was up
	default:
	}
}

// maxGather is the longest that a message waits for others to be stored with, maxRest the longest that a room's goroutine
// waits for anything to do.
const (
	maxGather = time.Millisecond
	maxRest   = 10 * time.Millisecond
)

// retire takes the room out of the hub if nobody needs it any more.
func (r *room) retire() {
	h := r.hub
	if r.participants.Load() > 0 {
		return
	}
	h.mu.Lock()
	r.mu.Lock()
	if r.running || r.retired || r.participants.Load() > 0 || len(r.tasks)+len(r.arrivals) > 0 {
		r.mu.Unlock()
		h.mu.Unlock()
		return
	}
	// From here on nothing can start the goroutine again, so that what it owned is still ours.
	r.retired = true
	delete(h.active, r.id)
	r.mu.Unlock()
	h.mu.Unlock()
	r.gap.end()
	if r.cancel != nil {
		r.cancel()
	}
}

// load subscribes to the room's events and learns how far it has come. Other nodes may have deleted the room, or created
// it anew: where there are any, the store is asked each time.
func (r *room) load(ctx context.Context) error {
	if r.loaded && !r.hub.shared {
		return nil
	}
	if r.cancel == nil {
		cancel, err := r.hub.relay.Subscribe(ctx, r.id, r.arrive)
		if err != nil {
			return err
		}
		r.cancel = cancel
	}
	info, err := r.hub.store.Room(ctx, r.id)
	switch {
	case err == nil:
		r.adopt(ctx, info)
	case errors.Is(err, ErrNotFound):
		r.gone(ctx)
	default:
		return err
	}
	return nil
}

// adopt takes over what the store says of the room.
func (r *room) adopt(ctx context.Context, info Room) {
	if r.loaded && info.Generation != r.gen {
		r.gone(ctx)
	}
	if !r.loaded {
		r.loaded, r.gen, r.epoch = true, info.Generation, info.Epoch
		r.seq, r.want, r.held = info.LastSeq, info.LastSeq, r.held[:0]
		r.turn, r.count = 0, 0
	}
	r.want = max(r.want, info.LastSeq)
}

// budget bounds what is done for ctx's caller, and keeps its values when the caller has gone. It ends when the Hub gives up.
func (r *room) budget(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeBudget)
	stop := context.AfterFunc(r.hub.work, cancel)
	return ctx, func() { stop(); cancel() }
}

// append stores messages that arrived together and publishes them.
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
		<-r.slots
	}
	if errors.Is(err, ErrNotFound) {
		r.gone(ctx)
	}
}

// tell hands ev to one member alone.
func (r *room) tell(m *Member, ev *Event, ref string) bool {
	f := m.Conn.Sink.Format()
	bytes := f.Append(nil, ev, ref)
	return len(bytes) == 0 || m.Conn.Sink.Push(new(delivery).bundle(f, bytes, 1, 1))
}

func (r *room) add(m *Member) {
	f := m.Conn.Sink.Format()
	i := slices.IndexFunc(r.audiences, func(a *audience) bool { return a.format == f })
	if i < 0 {
		i = len(r.audiences)
		r.audiences = append(r.audiences, &audience{format: f})
	}
	a := r.audiences[i]
	m.audience, m.index = a, len(a.members)
	a.members = append(a.members, m)
	m.present, m.life = true, r.life
	r.present++
	r.clients[m.ClientID]++
	r.participants.Store(int32(len(r.clients)))
	r.hub.members.Add(1)
}

// mute takes m out of its audience: it is sent nothing more.
func (r *room) mute(m *Member) {
	a := m.audience
	if a == nil {
		return
	}
	last := len(a.members) - 1
	a.members[m.index] = a.members[last]
	a.members[m.index].index = m.index
	a.members[last] = nil
	a.members = a.members[:last]
	m.audience = nil
	if cap(a.members) > 64 && last < cap(a.members)/4 {
		a.members = slices.Clone(a.members)
	}
}

// leave ends m's membership and tells the others if it was its client's last.
func (r *room) leave(ctx context.Context, m *Member) {
	r.mute(m)
	if !m.present || m.life != r.life { // if what it was a member of has been deleted, deleted has counted it off
		return
	}
	m.present = false
	r.present--
	r.hub.members.Add(-1)
	r.clients[m.ClientID]--
	if r.clients[m.ClientID] > 0 {
		return
	}
	delete(r.clients, m.ClientID)
	r.participants.Store(int32(len(r.clients)))
	r.hub.presence.Exit(ctx, m.participant(r.gen))
}

// delete deletes the room and says so.
func (r *room) delete(ctx context.Context) error {
	ctx, cancel := r.budget(ctx)
	defer cancel()
	r.hub.census.delete()
	generation, err := r.hub.store.DeleteRoom(ctx, r.id)
	r.hub.census.deleted(err == nil)
	if errors.Is(err, ErrNotFound) {
		r.gone(ctx)
	}
	if err != nil {
		return err
	}
	r.hub.publish(ctx, &Event{Kind: EventRoomDeleted, RoomID: r.id, Generation: generation, Received: time.Now()})
	return nil
}

// gone is told that the room of this generation is no more, which other nodes may have failed to say: the members learn
// it now.
func (r *room) gone(ctx context.Context) {
	if !r.loaded {
		return
	}
	r.deleted(arrival{ctx, &Event{Kind: EventRoomDeleted, RoomID: r.id, Generation: r.gen, Received: time.Now()}})
}

// deleted tells the members by a that the room is no more, and forgets it and them. Their memberships have ended before they
// are told: who joins again on hearing it must not be taken for one who is still there.
func (r *room) deleted(a arrival) {
	for _, audience := range r.audiences {
		for _, m := range audience.members {
			m.ended.Store(true)
		}
	}
	r.deliver([]arrival{a})
	r.hub.presence.Forget(r.gen)
	r.loaded = false
	r.seq, r.want = 0, 0
	clear(r.held)
	r.held = r.held[:0]
	r.echoes = nil
	r.hub.members.Add(-int64(r.present))
	r.life, r.present = r.life+1, 0
	for _, a := range r.audiences {
		for _, m := range a.members {
			m.audience = nil
			m.Conn.Sink.Removed(m, RemovedDeleted)
		}
	}
	r.audiences = nil
	clear(r.clients)
	r.participants.Store(0)
}
