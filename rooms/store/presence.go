package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/traceroom/traceroom/rooms"
)

const (
	// A node that has not renewed its lease for leaseTime, by PostgreSQL's clock, is dead. Every leaseRenewal a node renews its own
	// and looks for those that have expired: so the clients of a dead node leave after little more than the sum of the two.
	leaseTime    = 8 * time.Second
	leaseRenewal = 2 * time.Second
	// presenceBatch is how many changes share a transaction, and presenceRetry how long to wait after one that failed.
	presenceBatch = 1000
	presenceRetry = 250 * time.Millisecond
)

// PresenceOptions are optional: the zero value is usable.
type PresenceOptions struct {
	Node   string        // names the node to whoever looks into the database
	Lease  time.Duration // 0: 8 s
	Renew  time.Duration // 0: 2 s
	Failed func(error)   // called when the database could not be read or written; that is tried again. It must not block.
}

// Presence is rooms.Presence in PostgreSQL. A node shows that it is alive by renewing a lease. A node that finds an expired lease of
// another removes that node's clients and tells the rooms. Whether a connection is a client's first, or its last, on all nodes is
// decided under the lock of the room's row in attendance.
//
// entries holds what the database should say of this node's clients. One goroutine, started by Watch and ended by Close, writes
// the differences: after a failure it tries again; if the lease was lost, because the node or the network stood still, it writes
// all entries anew; and with each renewal it compares the number of rows.
//
// mu guards entries, pending and the entries themselves. The fields behind them belong to the goroutine.
//
// Lock order in the database: nodes, rooms, attendance, participants.
type Presence struct {
	opts   PresenceOptions
	pool   *pgxpool.Pool
	notify func(rooms.Change) // set by Watch

	wake chan struct{} // receives when there are pending entries; capacity 1
	stop chan struct{} // closed by Close
	once sync.Once     // Close
	done sync.WaitGroup

	mu      sync.Mutex
	entries map[int64]map[string]*entry // by room and client
	pending []*entry                    // entries that the database may not agree with, each once

	number   int64     // of this node; 0: it has none now
	renewed  time.Time // when the lease was last renewed
	reapFrom time.Time // until then expired leases of others are left alone
}

// entry is a client in a room on this node.
type entry struct {
	rooms.Participant
	ctx     context.Context
	present bool // the client is in the room
	stored  bool // the database says that it is
	unsure  bool // whether the last change was stored is not known
	pending bool // it is in Presence.pending
	void    bool // the room does not exist any more
	// counted is closed when the database agrees, or the entry is void; nil: nobody waits.
	counted chan struct{}
}

var _ rooms.Presence = (*Presence)(nil)

// OpenPresence registers this node as one of those that share a PostgreSQL database. s was opened by Open. Close must be called
// before s is closed. An error means that PostgreSQL could not be asked, or that s is not on PostgreSQL.
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

// Space returns a name for the database: nodes with the same name share a database.
func (p *Presence) Space(ctx context.Context) (string, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	var id string
	err := p.pool.QueryRow(ctx, `SELECT id FROM cluster`).Scan(&id)
	return id, err
}

// Watch implements rooms.Presence.
func (p *Presence) Watch(notify func(rooms.Change)) {
	p.notify = notify
	p.done.Go(p.run)
}

// Enter implements rooms.Presence.
func (p *Presence) Enter(ctx context.Context, who rooms.Participant) <-chan struct{} {
	return p.set(ctx, who, true)
}

// Exit implements rooms.Presence.
func (p *Presence) Exit(ctx context.Context, who rooms.Participant) { p.set(ctx, who, false) }

// set notes whether a client is in a room. The channel that it returns is closed when the database says that the client is there;
// nil: nobody waits for that.
func (p *Presence) set(ctx context.Context, who rooms.Participant, present bool) <-chan struct{} {
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
	e.Participant, e.ctx, e.present = who, context.WithoutCancel(ctx), present
	if present && e.counted == nil {
		e.counted = make(chan struct{})
	}
	counted := e.counted
	p.enqueue(e)
	p.mu.Unlock()
	p.wakeUp()
	return counted
}

// endWait tells those that wait for e. mu is held.
func (e *entry) endWait() {
	if e.counted != nil {
		close(e.counted)
		e.counted = nil
	}
}

// enqueue makes e pending. mu is held.
func (p *Presence) enqueue(e *entry) {
	if !e.pending {
		e.pending = true
		p.pending = append(p.pending, e)
	}
}

// wakeUp has the goroutine write the pending entries.
func (p *Presence) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Forget implements rooms.Presence. The database has deleted the room's rows together with the room.
func (p *Presence) Forget(generation int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.entries[generation] {
		e.void = true
		e.endWait()
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
	var number int64
	var n int
	rows, _ := p.pool.Query(ctx, `SELECT room, participants FROM attendance WHERE room = ANY ($1)`, numbers) // the error is in rows too
	_, err := pgx.ForEachRow(rows, []any{&number, &n}, func() error {
		list[places[number]].Participants = n
		return nil
	})
	return err
}

// Close implements rooms.Presence. Calls after the first do nothing.
func (p *Presence) Close(ctx context.Context) error {
	var err error
	p.once.Do(func() {
		close(p.stop)
		p.done.Wait()
		err = p.retire(ctx)
	})
	return err
}

// run renews the lease and writes pending entries until Close.
func (p *Presence) run() {
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
			p.wakeUp()
		}
	}
}

// register gives the node a number, and makes all entries pending.
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
	p.wakeUp()
	return nil
}

// alive notes that the lease is renewed. If the last renewal is long ago, others may have had the same trouble: they get time to
// renew their leases before they are taken for dead.
func (p *Presence) alive() {
	now := time.Now()
	if now.Sub(p.renewed) > p.opts.Lease/2 {
		p.reapFrom = now.Add(p.opts.Lease)
	}
	p.renewed = now
}

const sqlRenew = `
UPDATE nodes SET expires_at = clock_timestamp() + $2 * interval '1 second' WHERE number = $1
RETURNING (SELECT count(*) FROM participants WHERE node = $1),
	(SELECT count(*) FROM nodes WHERE expires_at < now() AND number <> $1)`

// renew renews the lease, compares the number of this node's rows, and removes nodes that are dead.
func (p *Presence) renew(ctx context.Context) error {
	if p.number == 0 {
		return p.register(ctx)
	}
	bounded, cancel := bound(ctx)
	defer cancel()
	var stored, expired int
	err := p.pool.QueryRow(bounded, sqlRenew, p.number, p.opts.Lease.Seconds()).Scan(&stored, &expired)
	if errors.Is(err, pgx.ErrNoRows) {
		return p.register(ctx) // the lease was lost
	}
	if err != nil {
		return err
	}
	p.alive()
	if stored != p.storedEntries() {
		if err := p.compare(ctx); err != nil {
			return err
		}
	}
	if expired > 0 && time.Now().After(p.reapFrom) {
		return p.reap(ctx, p.number)
	}
	return nil
}

// storedEntries returns how many rows the database should have of this node.
func (p *Presence) storedEntries() (n int) {
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

// compare compares each entry with the database, and makes those pending that differ.
func (p *Presence) compare(ctx context.Context) error {
	bounded, cancel := bound(ctx)
	defer cancel()
	type key struct {
		room   int64
		client string
	}
	found := make(map[key]string) // ids of rooms
	var k key
	var id string
	rows, _ := p.pool.Query(bounded, // the error is in rows too
		`SELECT p.room, r.id, p.client_id FROM participants p JOIN rooms r ON r.number = p.room WHERE p.node = $1`, p.number)
	if _, err := pgx.ForEachRow(rows, []any{&k.room, &id, &k.client}, func() error { found[k] = id; return nil }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for room, clients := range p.entries {
		for client, e := range clients {
			_, e.stored = found[key{room, client}]
			delete(found, key{room, client})
			if e.stored != e.present {
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
	p.wakeUp()
	return nil
}

// isLost reports whether err means that the row of this node does not exist any more.
func isLost(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "23503" // foreign_key_violation
}
