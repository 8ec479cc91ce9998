package rooms

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Limits bound what a Hub holds. A zero field takes the default.
type Limits struct {
	Rooms int // that may exist; default 10,000
	Line  int // messages of one room that wait to be stored; a sender waits when it is full; default 1024
}

// Config is what a Hub is made of. Store and Relay are required.
type Config struct {
	Store Store
	Relay Relay
	// Presence is shared with the other nodes of the same Store and Relay; nil: there are none.
	Presence Presence
	// LookEvery is how often a node that shares its rooms compares them with the Store; default 2 s. The Relay gives hints:
	// this bounds how long the loss of one that no other follows can go unnoticed.
	LookEvery time.Duration
	Hooks     Hooks
	Limits    Limits
}

// Hub holds the rooms of this node. It implements Service.
//
// A room is held in memory while it has members or work, and is run by one goroutine, which exists while there is work.
// mu guards active. Lock order: Hub.mu, then room.mu; the census has a lock of its own, under which nothing
// else is called.
type Hub struct {
	store    Store
	relay    Relay
	presence Presence
	shared   bool // with other nodes
	hooks    Hooks
	limits   Limits

	mu     sync.RWMutex
	active map[string]*room

	look     chan struct{} // one token: look at the store at once
	stop     chan struct{} // closed by Close
	stopped  sync.Once
	watching sync.WaitGroup

	// Close gives up what its ctx has no time for: work ends, and with it what the rooms ask of the store; then gone is
	// closed, and nobody waits for a room any more.
	work   context.Context
	giveUp context.CancelFunc
	gone   chan struct{}
	left   sync.Once // closes gone

	census  census
	members atomic.Int64
	closing atomic.Bool
	running atomic.Int64  // rooms whose goroutine runs
	idle    chan struct{} // told, when closing, that running has come to zero
}

var _ Service = (*Hub)(nil)

// NewHub returns a Hub. It reads the number of rooms from the store. Close must be called.
func NewHub(ctx context.Context, cfg Config) (*Hub, error) {
	if cfg.Limits.Rooms == 0 {
		cfg.Limits.Rooms = 10_000
	}
	if cfg.Limits.Line == 0 {
		cfg.Limits.Line = 1024
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
	found := h.census.survey()
	rooms, err := h.store.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	found(len(rooms))
	h.presence, h.shared = cfg.Presence, cfg.Presence != nil
	if !h.shared {
		h.presence = alone{h}
		return h, nil
	}
	h.presence.Watch(h.changed)
	if cfg.LookEvery == 0 {
		cfg.LookEvery = 2 * time.Second
	}
	h.watching.Go(func() { h.watch(cfg.LookEvery) })
	return h, nil
}

// errClosing is what callers get while the Hub closes.
var errClosing = &Error{Code: CodeUnavailable, Detail: "the server is going away; reconnect"}

// errGone is what a caller gets that had gone before its turn came.
var errGone = &Error{Code: CodeUnavailable, Detail: "the connection had ended"}

// giveUpTime is how long Close waits for the rooms when it has given up their work. A Store that heeds its context takes
// a moment to end; one that does not is not waited for.
const giveUpTime = 200 * time.Millisecond

// Close refuses new work, lets what is in the rooms' lines be stored and published, and waits for it. When ctx ends it
// gives up what is left: store operations are cancelled, whoever waits for a room gets an error, and Close returns that of
// ctx, even if the Store does not answer. It may be called again.
func (h *Hub) Close(ctx context.Context) error {
	h.closing.Store(true)
	h.stopped.Do(func() { close(h.stop) })
	err := h.settle(ctx)
	if err == nil {
		return nil
	}
	h.giveUp()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTime)
	defer cancel()
	_ = h.settle(last) // what still runs is left alone
	h.left.Do(func() { close(h.gone) })
	return err
}

// settle waits until the Hub's goroutines have ended, or for ctx.
func (h *Hub) settle(ctx context.Context) error {
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

// Counts are the sizes of a Hub, for those who watch it.
type Counts struct {
	Rooms   int // that exist, as far as this node has seen
	Members int // connections in rooms, on this node
}

// Counts returns the sizes now.
func (h *Hub) Counts() Counts {
	return Counts{Rooms: h.census.count(), Members: int(h.members.Load())}
}

// room returns the room with this id that takes work, in memory from now on.
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

// do has the room's goroutine call f and waits for it, until then (nil: never) says that the caller has gone. f is not
// called when ctx has ended before its turn comes, and not when the Hub has given up.
func (h *Hub) do(ctx context.Context, then <-chan struct{}, id string, f func(*room) error) error {
	done := make(chan error, 1)
	for {
		r := h.room(id)
		if r.enqueue(task{ctx: ctx, do: func() {
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
	case <-then:
		return ctx.Err()
	case <-h.gone:
		return errClosing
	}
}

// participants is how many clients are in the room on this node.
func (h *Hub) participants(id string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if r := h.active[id]; r != nil {
		return int(r.participants.Load())
	}
	return 0
}

// CreateRoom implements Service.
func (h *Hub) CreateRoom(ctx context.Context, id, name string) (Room, bool, error) {
	if id == "" {
		id = NewID()
	}
	if err := CheckID("room_id", id); err != nil {
		return Room{}, false, err
	}
	if name == "" {
		name = id
	}
	if err := CheckText("name", name, MaxNameLength); err != nil {
		return Room{}, false, err
	}
	room, created, err := h.createRoom(ctx, id, name)
	if err != nil {
		return Room{}, false, AsError(err)
	}
	if created {
		return room, true, nil
	}
	room, err = h.filled(ctx, room)
	return room, false, err
}

// filled is room with its participants.
func (h *Hub) filled(ctx context.Context, room Room) (Room, error) {
	one := [1]Room{room}
	if err := h.presence.Fill(ctx, one[:]); err != nil {
		return Room{}, AsError(err)
	}
	return one[0], nil
}

func (h *Hub) createRoom(ctx context.Context, id, name string) (Room, bool, error) {
	place, err := h.census.create(ctx)
	if err != nil {
		return Room{}, false, err
	}
	if !place {
		room, err := h.store.Room(ctx, id)
		if errors.Is(err, ErrNotFound) {
			return Room{}, false, &Error{Code: CodeLimit, Detail: "the server has as many rooms as it takes; delete one or join an existing one"}
		}
		return room, false, err
	}
	room, created, err := h.store.CreateRoom(ctx, Room{ID: id, Name: name, CreatedAt: now()})
	h.census.created(created)
	return room, created, err
}

// Room implements Service.
func (h *Hub) Room(ctx context.Context, id string) (Room, error) {
	room, err := h.stored(ctx, id)
	if err != nil {
		return Room{}, err
	}
	return h.filled(ctx, room)
}

// stored is the room without its participants.
func (h *Hub) stored(ctx context.Context, id string) (Room, error) {
	if err := CheckID("room_id", id); err != nil {
		return Room{}, err
	}
	room, err := h.store.Room(ctx, id)
	if err != nil {
		return Room{}, AsError(err)
	}
	return room, nil
}

// Rooms implements Service.
func (h *Hub) Rooms(ctx context.Context) ([]Room, error) {
	found := h.census.survey()
	rooms, err := h.store.Rooms(ctx)
	if err != nil {
		return nil, AsError(err)
	}
	found(len(rooms))
	if err := h.presence.Fill(ctx, rooms); err != nil {
		return nil, AsError(err)
	}
	return rooms, nil
}

// DeleteRoom implements Service.
func (h *Hub) DeleteRoom(ctx context.Context, id string) error {
	if err := CheckID("room_id", id); err != nil {
		return err
	}
	if h.closing.Load() {
		return errClosing
	}
	if err := h.do(ctx, ctx.Done(), id, func(r *room) error { return r.delete(ctx) }); err != nil {
		return AsError(err)
	}
	return nil
}

// Messages implements Service.
func (h *Hub) Messages(ctx context.Context, roomID string, q Query) (Page, error) {
	for {
		room, err := h.stored(ctx, roomID)
		if err != nil {
			return Page{}, err
		}
		page := Page{Epoch: room.Epoch, Reset: q.Since != nil && resets(*q.Since, q.Epoch, room)}
		most := partLimit
		if q.Since != nil && !page.Reset {
			most.Messages = min(most.Messages, q.Limit)
			page.Messages, page.More, err = h.store.After(ctx, roomID, *q.Since, most)
		} else {
			page.Messages, page.More, err = h.store.Newest(ctx, roomID, 0, q.Limit, most)
		}
		if err != nil {
			return Page{}, AsError(err)
		}
		n := len(page.Messages)
		if n == 0 || page.Messages[n-1].Generation == room.Generation {
			page.More = page.More && n < q.Limit
			return page, nil
		}
		// The room was deleted and made anew between the two.
	}
}

// resets reports whether a client that has the messages up to since, of this epoch, has something else than what the room
// holds.
func resets(since int64, epoch string, room Room) bool {
	return since > room.LastSeq || epoch != "" && epoch != room.Epoch
}

// Message implements Service.
func (h *Hub) Message(ctx context.Context, id string) (*Message, error) {
	if err := CheckID("message_id", id); err != nil {
		return nil, err
	}
	m, err := h.store.Message(ctx, id)
	if err != nil {
		return nil, AsError(err)
	}
	return m, nil
}

// DeleteMessage implements Service.
func (h *Hub) DeleteMessage(ctx context.Context, id string) error {
	if err := CheckID("message_id", id); err != nil {
		return err
	}
	if err := h.store.DeleteMessage(ctx, id); err != nil {
		return AsError(err)
	}
	return nil
}

// CreateUser implements Service.
func (h *Hub) CreateUser(ctx context.Context, name, handle string) (User, error) {
	if err := CheckText("name", name, MaxNameLength); err != nil {
		return User{}, err
	}
	if err := CheckID("handle", handle); err != nil {
		return User{}, err
	}
	at := now()
	u := User{ID: NewID(), Name: name, Handle: handle, CreatedAt: at, UpdatedAt: at}
	if err := h.store.CreateUser(ctx, u); err != nil {
		return User{}, AsError(err)
	}
	return u, nil
}

// User implements Service.
func (h *Hub) User(ctx context.Context, id string) (User, error) {
	if err := CheckID("user_id", id); err != nil {
		return User{}, err
	}
	u, err := h.store.User(ctx, id)
	if err != nil {
		return User{}, AsError(err)
	}
	return u, nil
}

// Users implements Service.
func (h *Hub) Users(ctx context.Context) ([]User, error) {
	users, err := h.store.Users(ctx)
	if err != nil {
		return nil, AsError(err)
	}
	return users, nil
}

// DeleteUser implements Service.
func (h *Hub) DeleteUser(ctx context.Context, id string) error {
	if err := CheckID("user_id", id); err != nil {
		return err
	}
	if err := h.store.DeleteUser(ctx, id); err != nil {
		return AsError(err)
	}
	return nil
}

// Join implements Service.
func (h *Hub) Join(ctx context.Context, conn *Conn, req Join) (*Member, error) {
	if err := CheckID("room_id", req.RoomID); err != nil {
		return nil, err
	}
	if err := CheckID("client_id", req.ClientID); err != nil {
		return nil, err
	}
	if req.Since != nil && *req.Since < 0 {
		return nil, &Error{Code: CodeInvalid, Field: "since", Detail: "since must be a sequence number, 0 or more"}
	}
	if h.closing.Load() {
		return nil, errClosing
	}
	m := &Member{Conn: conn, RoomID: req.RoomID, ClientID: req.ClientID}
	j := &joining{member: m, req: req, written: make(chan bool, 1)}
	for joined := false; !joined; {
		// The wait is not bounded by ctx: a member whose caller had gone would stay in the room for ever. What the room's
		// goroutine does has its own bounds.
		err := h.do(ctx, nil, req.RoomID, func(r *room) (err error) {
			m.room = r
			joined, err = r.join(ctx, j)
			return err
		})
		if err != nil {
			return nil, AsError(err)
		}
		if !joined {
			if err := h.handedOut(ctx, j); err != nil {
				return nil, err
			}
		}
	}
	if m.counted != nil {
		h.count(m)
	}
	return m, nil
}

// handedOut waits until the part of the history that j was handed has been written. The Sink bounds the wait.
func (h *Hub) handedOut(ctx context.Context, j *joining) error {
	select {
	case written := <-j.written:
		if !written {
			return &Error{Code: CodeUnavailable, Detail: "the connection has ended"}
		}
		return nil
	case <-h.stop:
		return errClosing
	case <-ctx.Done():
		return AsError(ctx.Err())
	}
}

// countBudget is the longest that a join waits until all nodes count its client.
const countBudget = time.Second

// count waits until who comes or goes from now on, on any node, is told along with a number that has m's client in it.
func (h *Hub) count(m *Member) {
	patience := time.NewTimer(countBudget)
	defer patience.Stop()
	select {
	case <-m.counted:
	case <-patience.C:
	case <-h.stop:
	}
}

// Leave implements Service.
func (h *Hub) Leave(ctx context.Context, m *Member) error {
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	if !m.room.enqueue(task{ctx: ctx, do: func() { m.room.leave(ctx, m); close(done) }}) {
		return nil // the room has retired, and with it all memberships
	}
	select {
	case <-done:
		return nil
	case <-h.gone:
		return errClosing
	}
}

// Send implements Service.
func (h *Hub) Send(ctx context.Context, p Post, done func(*Message, bool, error)) error {
	if err := CheckText("text", p.Text, MaxTextLength); err != nil {
		return err
	}
	if err := CheckRef("ref", p.Ref); err != nil {
		return err
	}
	if h.closing.Load() {
		return errClosing
	}
	if p.ParentID != "" {
		if err := h.checkParent(ctx, p); err != nil {
			return err
		}
	}
	if p.Received.IsZero() {
		p.Received = time.Now()
	}
	at := stamp(p.Received)
	post := &pending{
		message: Message{
			RoomID: p.RoomID, ClientID: p.ClientID, Text: p.Text, IsReply: p.IsReply, ParentID: p.ParentID,
			CreatedAt: at, UpdatedAt: at, Trace: p.Trace,
		},
		ref: p.Ref, transport: p.Transport, received: p.Received, done: done,
	}
	t := task{ctx: ctx, post: post}
	if p.From != nil {
		post.from = p.From
		ok, err := p.From.room.admit(ctx, t)
		if err != nil || ok {
			return err
		}
	}
	for {
		ok, err := h.room(p.RoomID).admit(ctx, t)
		if err != nil || ok {
			return err
		}
	}
}

// PostMessage implements Service.
func (h *Hub) PostMessage(ctx context.Context, p Post) (m *Message, repeated bool, err error) {
	if _, err := h.User(ctx, p.ClientID); errors.Is(err, ErrNotFound) {
		return nil, false, NotFound("user", "user_id", p.ClientID)
	} else if err != nil {
		return nil, false, err
	}
	if _, err := h.stored(ctx, p.RoomID); err != nil {
		return nil, false, err
	}
	type result struct {
		m        *Message
		repeated bool
		err      error
	}
	ch := make(chan result, 1)
	if err := h.Send(ctx, p, func(m *Message, repeated bool, err error) { ch <- result{m, repeated, err} }); err != nil {
		return nil, false, AsError(err)
	}
	select {
	case r := <-ch:
		return r.m, r.repeated, r.err
	case <-ctx.Done():
		return nil, false, NotKnown(ctx.Err())
	}
}

// checkParent returns an *Error unless the message that p answers is in its room. If that has been deleted since p was
// stored, p is still what is repeated.
func (h *Hub) checkParent(ctx context.Context, p Post) error {
	parent, err := h.Message(ctx, p.ParentID)
	if err == nil && parent.RoomID == p.RoomID {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if p.Ref != "" {
		_, err := h.store.Sent(ctx, p.RoomID, p.ClientID, p.Ref)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrNotFound) {
			return AsError(err)
		}
	}
	return NotFound("message", "parent_message_id", p.ParentID)
}

// Typing implements Service.
func (h *Hub) Typing(ctx context.Context, m *Member) error {
	h.publish(ctx, &Event{Kind: EventTyping, RoomID: m.RoomID, ClientID: m.ClientID, Transport: m.Conn.Transport, Received: time.Now()})
	return nil
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

func (h *Hub) publish(ctx context.Context, ev *Event) {
	if err := h.relay.Publish(ctx, ev); err != nil && h.hooks.RelayFailed != nil {
		h.hooks.RelayFailed(ctx, err)
	}
}

// changed tells a room's members on all nodes that a client has come or gone.
func (h *Hub) changed(c Change) {
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

// stamp is t as it is stored.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// NewID returns a new UUID of version 7, which sorts by time. It may be called from any goroutine. The source of randomness of
// the Go runtime does not fail.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }
