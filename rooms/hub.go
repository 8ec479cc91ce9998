package rooms

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Limits bound what a Hub holds. A zero field takes the default.
type Limits struct {
	Rooms int // that may exist; default 10,000
	Queue int // messages of one room that wait to be stored; senders wait while there are more; default 1024
}

// Config is what a Hub is made of. Store and Relay are required.
type Config struct {
	Store Store
	Relay Relay
	// Presence is shared with the other nodes of the same Store and Relay; nil: there are none.
	Presence Presence
	// LookEvery is how often a node that shares its rooms compares them with the Store; default 2 s. It bounds how long a message
	// may go unnoticed whose event the Relay lost, if no other message follows.
	LookEvery time.Duration
	Hooks     Hooks
	Limits    Limits
}

// Hub holds the rooms of this node. It implements Service.
//
// A room is in memory while it has members or work. One goroutine does its work (see queue), and exists while there is some.
//
// mu guards active. Lock order: Hub.mu, then queue.mu. The census has a lock of its own; nothing else is called
// while it is held.
type Hub struct {
	store    Store
	relay    Relay
	presence Presence
	shared   bool // with other nodes
	hooks    Hooks
	limits   Limits

	mu     sync.RWMutex
	active map[string]*room

	look     chan struct{} // receives when the rooms are to be compared with the store at once; capacity 1
	stop     chan struct{} // closed when Close is called
	stopped  sync.Once     // closes stop
	watching sync.WaitGroup

	// When Close's ctx ends, work is cancelled, and with it all calls of the store. A moment later gone is closed, and nobody
	// waits for a room any more.
	work   context.Context
	giveUp context.CancelFunc
	gone   chan struct{}
	left   sync.Once // closes gone

	census  census
	members atomic.Int64
	closing atomic.Bool
	running atomic.Int64  // rooms whose goroutine exists
	idle    chan struct{} // receives when running falls to zero while the Hub closes; capacity 1
}

var _ Service = (*Hub)(nil)

// NewHub returns a Hub. It reads the number of rooms from the store; its error is the store's. Close must be called.
func NewHub(ctx context.Context, cfg Config) (*Hub, error) {
	if cfg.Limits.Rooms == 0 {
		cfg.Limits.Rooms = 10_000
	}
	if cfg.Limits.Queue == 0 {
		cfg.Limits.Queue = 1024
	}
	h := &Hub{
		store: cfg.Store, relay: cfg.Relay, hooks: cfg.Hooks, limits: cfg.Limits,
		active: make(map[string]*room),
		look:   make(chan struct{}, 1), stop: make(chan struct{}),
		gone:   make(chan struct{}),
		idle:   make(chan struct{}, 1),
		census: census{limit: cfg.Limits.Rooms},
	}
	h.work, h.giveUp = context.WithCancel(context.Background())
	counted := h.census.survey()
	rooms, err := h.store.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	counted(len(rooms))
	h.presence, h.shared = cfg.Presence, cfg.Presence != nil
	if !h.shared {
		h.presence = alone{h}
		return h, nil
	}
	h.presence.Watch(h.publishChange)
	if cfg.LookEvery == 0 {
		cfg.LookEvery = 2 * time.Second
	}
	h.watching.Go(func() { h.watch(cfg.LookEvery) })
	return h, nil
}

// errClosing is what callers get while the Hub closes, errGone what a caller gets that had gone before its turn came.
var (
	errClosing = &Error{Code: CodeUnavailable, Detail: "the server is going away; reconnect"}
	errGone    = &Error{Code: CodeUnavailable, Detail: "the connection had ended"}
)

// giveUpTime is how long Close waits for the rooms after it has cancelled their work. A Store that heeds its context takes a
// moment to return; one that does not is not waited for.
const giveUpTime = 200 * time.Millisecond

// Close refuses new work, and waits until what is in the rooms' queues has been stored and published. When ctx ends, it gives up
// the rest: it cancels calls of the store, everybody who waits for a room gets an error, and Close returns the error of ctx, even
// if the Store does not return. It may be called again.
func (h *Hub) Close(ctx context.Context) error {
	h.closing.Store(true)
	h.stopped.Do(func() { close(h.stop) })
	err := h.awaitGoroutines(ctx)
	if err == nil {
		return nil
	}
	h.giveUp()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTime)
	defer cancel()
	_ = h.awaitGoroutines(last) // what still runs is left alone
	h.left.Do(func() { close(h.gone) })
	return err
}

// awaitGoroutines waits until the Hub's goroutines have ended. Its error is ctx's.
func (h *Hub) awaitGoroutines(ctx context.Context) error {
	watched := make(chan struct{})
	go func() { h.watching.Wait(); close(watched) }()
	select {
	case <-watched:
	case <-ctx.Done():
		return ctx.Err()
	}
	for h.running.Load() > 0 {
		select {
		case <-h.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Counts are the sizes of a Hub.
type Counts struct {
	Rooms   int // that exist, as far as this node has seen
	Members int // connections in rooms, on this node
}

// Counts returns the sizes now. It may be called from any goroutine.
func (h *Hub) Counts() Counts {
	return Counts{Rooms: h.census.count(), Members: int(h.members.Load())}
}

// room returns the room with this id, and keeps it in memory from now on. It may retire before its queue is given work; then it
// refuses, and room must be called again.
func (h *Hub) room(id string) *room {
	h.mu.RLock()
	r := h.active[id]
	h.mu.RUnlock()
	if r != nil {
		return r
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r = h.active[id]; r == nil {
		r = newRoom(h, id)
		h.active[id] = r
	}
	return r
}

// inRoom has the room's goroutine call f, waits for that, and returns f's error. If ended is closed meanwhile, it waits no longer; nil:
// it waits in any case. f is not called if ctx has ended before its turn comes, or the Hub has given up.
func (h *Hub) inRoom(ctx context.Context, ended <-chan struct{}, id string, f func(*room) error) error {
	done := make(chan error, 1)
	for {
		r := h.room(id)
		if r.queue.add(task{ctx: ctx, do: func() {
			switch {
			case h.work.Err() != nil:
				done <- errClosing
			case ctx.Err() != nil:
				done <- errGone
			default:
				done <- f(r)
			}
		}}) {
			break
		}
	}
	select {
	case err := <-done:
		return err
	case <-ended:
		return ctx.Err()
	case <-h.gone:
		return errClosing
	}
}

// participants returns how many clients are in the room on this node.
func (h *Hub) participants(id string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if r := h.active[id]; r != nil {
		return int(r.participants.Load())
	}
	return 0
}

// Ping implements Service.
func (h *Hub) Ping(ctx context.Context) error {
	if h.closing.Load() {
		return errClosing
	}
	if err := h.store.Ping(ctx); err != nil {
		return AsError(err)
	}
	return nil
}

// publish hands ev to the relay. If other nodes cannot be told, only the hook hears of it.
func (h *Hub) publish(ctx context.Context, ev *Event) {
	if err := h.relay.Publish(ctx, ev); err != nil && h.hooks.RelayFailed != nil {
		h.hooks.RelayFailed(ctx, err)
	}
}

// publishChange tells a room's members on all nodes that a client has come or gone.
func (h *Hub) publishChange(c Change) {
	kind := EventLeft
	if c.Entered {
		kind = EventJoined
	}
	h.publish(c.Ctx, &Event{
		Kind: kind, RoomID: c.RoomID, Generation: c.Generation, ClientID: c.ClientID, Participants: c.Participants, Turn: c.Turn,
		Transport: c.Transport, Received: c.At,
	})
}

func now() time.Time { return stamp(time.Now()) }

// stamp returns t as it is stored: in UTC, in whole milliseconds.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// NewID returns a new UUID of version 7, which sorts by time. It may be called from any goroutine. The source of randomness of
// the Go runtime does not fail.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
