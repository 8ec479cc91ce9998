package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/traceroom/traceroom/rooms"
)

const (
	// leaseTime is how long a node that says nothing is taken to live, by PostgreSQL's clock, and leaseRenewal how often
	// it says something, and looks for others that do not: their clients leave within the sum of the two, and a little.
	leaseTime    = 8 * time.Second
	leaseRenewal = 2 * time.Second
	// presenceBatch is how many clients' comings and goings share a transaction, and presenceRetry how long to wait
	// after one that failed.
	presenceBatch = 1000
	presenceRetry = 250 * time.Millisecond
)

// PresenceOptions are what OpenPresence may be told. The zero value is usable.
type PresenceOptions struct {
	Node   string        // names the node to who looks into the database
	Lease  time.Duration // instead of 8 s
	Renew  time.Duration // instead of 2 s
	Failed func(error)   // is called when the database could not be told or asked; that is tried again. It must not block.
}

// Presence is rooms.Presence in PostgreSQL. A node says that it lives by renewing a lease; whoever finds one that has
// expired takes back what that node said and tells the rooms. Which client is the first or the last of its kind is
// decided under the lock of the room's row in attendance.
//
// What the node wants to be known is in entries; one goroutine, started by Watch and ended by Close, sees to it that the
// database says the same, whatever it takes: after a failure it tries again, after the lease was lost, because the node or
// the way to the database stood still, it begins anew, and with every renewal it counts.
//
// mu guards entries, line and what they point to; the goroutine owns the fields behind it.
//
// Lock order in the database: nodes, rooms, attendance, participants.
type Presence struct {
	opts PresenceOptions
	pool *pgxpool.Pool
	told func(rooms.Change)

	wake chan struct{} // one token: there is something in the line
	stop chan struct{} // closed by Close
	once sync.Once     // Close
	done sync.WaitGroup

	mu      sync.Mutex
	entries map[int64]map[string]*entry // by room and client
	line    []*entry                    // those of which the database may not say what is wanted; each once

	number  int64     // this node's; 0: it has none now
	renewed time.Time // when the lease was last renewed
	patient time.Time // until when others' leases are not heeded
}

// entry is a client in a room on this node.
type entry struct {
	rooms.Participant
	ctx    context.Context
	wanted bool // the client is there
	stored bool // the database says so
	unsure bool // what became of the last change is not known
	lined  bool // it is in the line
	void   bool // there is no such room any more
	// counted is closed when the database says what is wanted, or the entry is void; nil: nobody waits.
	counted chan struct{}
}

var _ rooms.Presence = (*Presence)(nil)

// OpenPresence makes this node one of those that share a PostgreSQL database. s was opened by Open. Close must be called
// before that of s.
func OpenPresence(ctx context.Context, s rooms.Store, opts PresenceOptions) (*Presence, error) {
	db, ok := s.(*postgresStore)
	if !ok {
		return nil, errors.New("nodes share PostgreSQL only")
	}
	if opts.Failed == nil {
		opts.Failed = func(error) {}
	}
	if opts.Lease == 0 {
		opts.Lease = leaseTime
	}
	if opts.Renew == 0 {
		opts.Renew = leaseRenewal
	}
	p := &Presence{
		opts: opts, pool: db.pool, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		entries: make(map[int64]map[string]*entry),
	}
	if err := p.register(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Space names the database among others: nodes with the same belong together.
func (p *Presence) Space(ctx context.Context) (string, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	var id string
	err := p.pool.QueryRow(ctx, `SELECT id FROM cluster`).Scan(&id)
	return id, err
}

// Watch implements rooms.Presence.
func (p *Presence) Watch(told func(rooms.Change)) {
	p.told = told
	p.done.Go(p.keep)
}

// Enter implements rooms.Presence.
func (p *Presence) Enter(ctx context.Context, who rooms.Participant) <-chan struct{} {
	return p.want(ctx, who, true)
}

// Exit implements rooms.Presence.
func (p *Presence) Exit(ctx context.Context, who rooms.Participant) { p.want(ctx, who, false) }

// want notes what is wanted. The client is there when what it returns is closed, if that is what is wanted.
func (p *Presence) want(ctx context.Context, who rooms.Participant, there bool) <-chan struct{} {
	p.mu.Lock()
	clients := p.entries[who.Generation]
	if clients == nil {
		clients = make(map[string]*entry)
		p.entries[who.Generation] = clients
	}
	e := clients[who.ClientID]
	if e == nil {
		e = &entry{}
		clients[who.ClientID] = e
	}
	e.Participant, e.ctx, e.wanted = who, context.WithoutCancel(ctx), there
	if there && e.counted == nil {
		e.counted = make(chan struct{})
	}
	counted := e.counted
	p.enqueue(e)
	p.mu.Unlock()
	p.hurry()
	return counted
}

// count has who waits for e go on; mu is held.
func (e *entry) count() {
	if e.counted != nil {
		close(e.counted)
		e.counted = nil
	}
}

// enqueue puts e into the line; mu is held.
func (p *Presence) enqueue(e *entry) {
	if !e.lined {
		e.lined = true
		p.line = append(p.line, e)
	}
}

func (p *Presence) hurry() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Forget implements rooms.Presence. The room's rows went with the room.
func (p *Presence) Forget(generation int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries[generation] {
		e.void = true
		e.count()
	}
	delete(p.entries, generation)
}

// Fill implements rooms.Presence.
func (p *Presence) Fill(ctx context.Context, list []rooms.Room) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	places := make(map[int64]int, len(list))
	numbers := make([]int64, len(list))
	for i := range list {
		places[list[i].Generation], numbers[i] = i, list[i].Generation
	}
	rows, err := p.pool.Query(ctx, `SELECT room, participants FROM attendance WHERE room = ANY ($1)`, numbers)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int64
		var n int
		if err := rows.Scan(&number, &n); err != nil {
			return err
		}
		list[places[number]].Participants = n
	}
	return rows.Err()
}

// Close implements rooms.Presence: this node is no more.
func (p *Presence) Close(ctx context.Context) error {
	var err error
	p.once.Do(func() {
		close(p.stop)
		p.done.Wait()
		err = p.retire(ctx)
	})
	return err
}

// keep has the database say what is wanted, until Close.
func (p *Presence) keep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p.done.Go(func() { <-p.stop; cancel() })
	tick := time.NewTicker(p.opts.Renew)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-p.stop:
			return
		case <-tick.C:
			err = p.renew(ctx)
		case <-p.wake:
			err = p.flush(ctx)
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		p.opts.Failed(err)
		select {
		case <-p.stop:
			return
		case <-time.After(presenceRetry):
			p.hurry()
		}
	}
}

// register gives the node a number and has all that it wants to be known said again.
func (p *Presence) register(ctx context.Context) error {
	bounded, cancel := bound(ctx)
	defer cancel()
	err := p.pool.QueryRow(bounded, `INSERT INTO nodes (name, expires_at) VALUES ($1, clock_timestamp() + $2 * interval '1 second')
		RETURNING number`, p.opts.Node, p.opts.Lease.Seconds()).Scan(&p.number)
	if err != nil {
		p.number = 0
		return err
	}
	p.alive()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, clients := range p.entries {
		for _, e := range clients {
			e.stored, e.unsure = false, false
			p.enqueue(e)
		}
	}
	p.hurry()
	return nil
}

// alive notes that the lease is renewed. When that took long, others may have had the same trouble: they get time to
// renew theirs before they are taken for dead.
func (p *Presence) alive() {
	now := time.Now()
	if now.Sub(p.renewed) > p.opts.Lease/2 {
		p.patient = now.Add(p.opts.Lease)
	}
	p.renewed = now
}

const sqlRenew = `
UPDATE nodes SET expires_at = clock_timestamp() + $2 * interval '1 second' WHERE number = $1
RETURNING (SELECT count(*) FROM participants WHERE node = $1),
	(SELECT count(*) FROM nodes WHERE expires_at < now() AND number <> $1)`

// renew renews the lease and looks whether all is as it should be.
func (p *Presence) renew(ctx context.Context) error {
	if p.number == 0 {
		return p.register(ctx)
	}
	bounded, cancel := bound(ctx)
	defer cancel()
	rows, err := p.pool.Query(bounded, sqlRenew, p.number, p.opts.Lease.Seconds())
	if err != nil {
		return err
	}
	defer rows.Close()
	var stored, expired int
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return p.register(ctx) // the lease was lost
	}
	if err := rows.Scan(&stored, &expired); err != nil {
		return err
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	p.alive()
	if stored != p.stored() {
		if err := p.recount(ctx); err != nil {
			return err
		}
	}
	if expired > 0 && time.Now().After(p.patient) {
		return p.reap(ctx, p.number)
	}
	return nil
}

// stored is how many rows the database should have of this node.
func (p *Presence) stored() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, clients := range p.entries {
		for _, e := range clients {
			if e.stored && !e.void {
				n++
			}
		}
	}
	return n
}

// recount compares entry by entry what the database says with what is believed.
func (p *Presence) recount(ctx context.Context) error {
	bounded, cancel := bound(ctx)
	defer cancel()
	rows, err := p.pool.Query(bounded, `SELECT p.room, r.id, p.client_id FROM participants p JOIN rooms r ON r.number = p.room WHERE p.node = $1`, p.number)
	if err != nil {
		return err
	}
	defer rows.Close()
	type key struct {
		room   int64
		client string
	}
	found := make(map[key]string)
	for rows.Next() {
		var k key
		var id string
		if err := rows.Scan(&k.room, &id, &k.client); err != nil {
			return err
		}
		found[k] = id
	}
	if err := rows.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for room, clients := range p.entries {
		for client, e := range clients {
			_, e.stored = found[key{room, client}]
			delete(found, key{room, client})
			if e.stored != e.wanted {
				p.enqueue(e)
			}
		}
	}
	for k, id := range found {
		e := &entry{ctx: context.Background(), stored: true}
		e.Participant = rooms.Participant{RoomID: id, Generation: k.room, ClientID: k.client, At: time.Now()}
		if p.entries[k.room] == nil {
			p.entries[k.room] = make(map[string]*entry)
		}
		p.entries[k.room][k.client] = e
		p.enqueue(e)
	}
	p.hurry()
	return nil
}

// isLost reports whether err says that the node's row is no more.
func isLost(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "23503" // foreign_key_violation
}
