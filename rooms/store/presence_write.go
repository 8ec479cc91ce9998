package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// What is lost of these transactions in a crash of PostgreSQL is found by counting: they need not wait for the disk.
const sqlNoWait = `SELECT set_config('synchronous_commit', 'off', true)`

const (
	sqlLockNode = `SELECT number FROM nodes WHERE number = $1 FOR KEY SHARE`
	// A room that is there now cannot go before the transaction ends.
	sqlAttend = `
WITH present AS (SELECT number FROM rooms WHERE number = ANY ($1::bigint[]) ORDER BY number FOR KEY SHARE)
INSERT INTO attendance (room) SELECT number FROM present ORDER BY number ON CONFLICT DO NOTHING`
	sqlLockAttendance = `SELECT room FROM attendance WHERE room = ANY ($1::bigint[]) ORDER BY room FOR UPDATE`
	// A client turns up, or is gone, if no other node speaks for it. Of an unsure change that has happened already it is
	// only asked what came of it.
	sqlParticipants = `
WITH coming AS (
	SELECT c.* FROM unnest($2::bigint[], $3::text[], $4::boolean[]) AS c (room, client_id, unsure) JOIN attendance USING (room)
), going AS (
	SELECT g.* FROM unnest($5::bigint[], $6::text[], $7::boolean[]) AS g (room, client_id, unsure) JOIN attendance USING (room)
), come AS (
	INSERT INTO participants (room, client_id, node) SELECT room, client_id, $1 FROM coming
	ON CONFLICT DO NOTHING RETURNING room, client_id
), gone AS (
	DELETE FROM participants p USING going g WHERE p.room = g.room AND p.client_id = g.client_id AND p.node = $1
	RETURNING p.room, p.client_id
), changes AS (
	SELECT room, client_id, 1 AS by, come.room IS NOT NULL AS done FROM coming LEFT JOIN come USING (room, client_id)
	WHERE unsure OR come.room IS NOT NULL
	UNION ALL
	SELECT room, client_id, -1, gone.room IS NOT NULL FROM going LEFT JOIN gone USING (room, client_id)
	WHERE unsure OR gone.room IS NOT NULL
), turned AS (
	SELECT * FROM changes c WHERE NOT EXISTS
		(SELECT FROM participants o WHERE o.room = c.room AND o.client_id = c.client_id AND o.node <> $1)
), counted AS (
	UPDATE attendance a SET participants = participants + t.by, turn = turn + t.n
	FROM (SELECT room, coalesce(sum(by) FILTER (WHERE done), 0) AS by, count(*) AS n FROM turned GROUP BY room) t
	WHERE a.room = t.room RETURNING a.room, participants, turn
)
SELECT t.room, t.client_id, t.by, t.done, c.participants, c.turn FROM turned t JOIN counted c USING (room)`
)

// flush has the database say what is wanted of those in the line.
func (p *Presence) flush(ctx context.Context) error {
	for p.number != 0 {
		batch, more := p.take()
		if len(batch) == 0 {
			if more {
				continue
			}
			return nil
		}
		err := p.write(ctx, batch)
		if isLost(err) {
			p.put(batch, false)
			return p.register(ctx)
		}
		if err != nil {
			p.put(batch, !refused(err))
			return err
		}
	}
	return nil // it is being seen to
}

// change is an entry on its way into the database, as it was wanted when it was taken from the line.
type change struct {
	entry  *entry
	who    rooms.Participant
	ctx    context.Context
	there  bool
	unsure bool
}

// take takes a batch from the line. more says that there is something left in it.
func (p *Presence) take() (batch []change, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.line), presenceBatch)
	for _, e := range p.line[:n] {
		e.lined = false
		switch {
		case e.void:
			e.count()
			p.drop(e)
		case e.wanted == e.stored && !e.unsure:
			e.count()
			p.drop(e)
		default:
			batch = append(batch, change{e, e.Participant, e.ctx, e.wanted, e.unsure})
		}
	}
	p.line = append(p.line[:0], p.line[n:]...)
	clear(p.line[len(p.line):cap(p.line)])
	return batch, len(p.line) > 0
}

// put puts a batch that failed back into the line.
func (p *Presence) put(batch []change, unsure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range batch {
		c.entry.unsure = c.entry.unsure || unsure
		p.enqueue(c.entry)
	}
}

// drop forgets an entry that says nothing any more: the client is gone, and so is its row in the database. mu is held.
func (p *Presence) drop(e *entry) {
	if e.wanted || (e.stored || e.unsure) && !e.void {
		return
	}
	clients := p.entries[e.Generation]
	if clients[e.ClientID] != e {
		return
	}
	delete(clients, e.ClientID)
	if len(clients) == 0 {
		delete(p.entries, e.Generation)
	}
}

// turned is a client that has turned up or is gone, as the database has it.
type turned struct {
	room         int64
	client       string
	by           int // 1 or -1
	done         bool
	participants int // after all of the batch
	turn         int64
}

// write stores a batch in one transaction and one round trip, and tells what came of it.
func (p *Presence) write(ctx context.Context, batch []change) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	var numbers []int64
	var in, out struct {
		rooms   []int64
		clients []string
		unsure  []bool
	}
	in.rooms, out.rooms = []int64{}, []int64{}
	byKey := make(map[int64]map[string]*change, 1)
	for i := range batch {
		c := &batch[i]
		g := c.who.Generation
		if byKey[g] == nil {
			byKey[g] = make(map[string]*change)
			numbers = append(numbers, g)
		}
		byKey[g][c.who.ClientID] = c
		to := &out
		if c.there {
			to = &in
		}
		to.rooms = append(to.rooms, g)
		to.clients = append(to.clients, c.who.ClientID)
		to.unsure = append(to.unsure, c.unsure)
	}

	present := make(map[int64]bool, len(numbers))
	var all []turned
	var b pgx.Batch
	b.Queue(sqlNoWait)
	b.Queue(sqlLockNode, p.number)
	if len(in.rooms) > 0 {
		b.Queue(sqlAttend, in.rooms)
	}
	b.Queue(sqlLockAttendance, numbers).Query(func(rows pgx.Rows) error {
		var number int64
		_, err := pgx.ForEachRow(rows, []any{&number}, func() error { present[number] = true; return nil })
		return err
	})
	b.Queue(sqlParticipants, p.number, in.rooms, in.clients, in.unsure, out.rooms, out.clients, out.unsure).Query(func(rows pgx.Rows) (err error) {
		all, err = collectTurned(rows)
		return err
	})
	if err := p.pool.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}

	p.mu.Lock()
	for i := range batch {
		c := &batch[i]
		c.entry.stored, c.entry.unsure = c.there, false
		c.entry.void = c.entry.void || !present[c.who.Generation]
		if c.entry.wanted != c.entry.stored {
			p.enqueue(c.entry) // it has changed since
		} else {
			c.entry.count()
			p.drop(c.entry)
		}
	}
	if len(p.line) > 0 {
		p.hurry()
	}
	p.mu.Unlock()
	p.tell(all, func(t turned) rooms.Change {
		c := byKey[t.room][t.client]
		return rooms.Change{Ctx: c.ctx, Participant: c.who}
	})
	return nil
}

func collectTurned(rows pgx.Rows) (all []turned, err error) {
	var t turned
	_, err = pgx.ForEachRow(rows, []any{&t.room, &t.client, &t.by, &t.done, &t.participants, &t.turn}, func() error {
		all = append(all, t)
		return nil
	})
	return all, err
}

// tell tells of all that one transaction changed. It counted the changes of a room together: those before the last are
// counted back from there.
func (p *Presence) tell(all []turned, of func(turned) rooms.Change) {
	after := make(map[int64]turned, 1)
	for i := len(all) - 1; i >= 0; i-- {
		t := &all[i]
		if last, ok := after[t.room]; ok {
			t.turn, t.participants = last.turn-1, last.participants
			if last.done {
				t.participants -= last.by
			}
		}
		after[t.room] = *t
	}
	for _, t := range all {
		c := of(t)
		c.Entered, c.Participants, c.Turn = t.by > 0, t.participants, t.turn
		p.told(c)
	}
}

// A node is dead when its lease has expired by the transaction's time: that no renewal can change once its row is locked.
const (
	sqlDead     = `n.expires_at < now() AND n.number <> $1`
	sqlLockDead = `SELECT number FROM nodes n WHERE ` + sqlDead + ` ORDER BY number FOR UPDATE`
	sqlLockLeft = `
SELECT room FROM attendance WHERE room IN (SELECT p.room FROM participants p JOIN nodes n ON n.number = p.node WHERE ` + sqlDead + `)
ORDER BY room FOR UPDATE`
	sqlReap = `
WITH gone AS (
	DELETE FROM participants p USING nodes n WHERE n.number = p.node AND ` + sqlDead + ` RETURNING p.room, p.client_id
), turned AS (
	SELECT DISTINCT room, client_id FROM gone g WHERE NOT EXISTS
		(SELECT FROM participants o JOIN nodes n ON n.number = o.node
		 WHERE o.room = g.room AND o.client_id = g.client_id AND NOT (` + sqlDead + `))
), counted AS (
	UPDATE attendance a SET participants = participants - t.n, turn = turn + t.n
	FROM (SELECT room, count(*) AS n FROM turned GROUP BY room) t
	WHERE a.room = t.room RETURNING a.room, participants, turn
)
SELECT r.id, t.room, t.client_id, -1, true, c.participants, c.turn
FROM turned t JOIN counted c USING (room) JOIN rooms r ON r.number = t.room`
	sqlBury = `DELETE FROM nodes n WHERE ` + sqlDead
)

// reap takes back what nodes have said that are dead, and tells who has gone with them. The node named lives.
func (p *Presence) reap(ctx context.Context, living int64) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	var all []turned
	ids := make(map[int64]string)
	var b pgx.Batch
	b.Queue(sqlNoWait)
	b.Queue(sqlLockDead, living)
	b.Queue(sqlLockLeft, living)
	b.Queue(sqlReap, living).Query(func(rows pgx.Rows) error {
		var t turned
		var id string
		_, err := pgx.ForEachRow(rows, []any{&id, &t.room, &t.client, &t.by, &t.done, &t.participants, &t.turn}, func() error {
			ids[t.room] = id
			all = append(all, t)
			return nil
		})
		return err
	})
	b.Queue(sqlBury, living)
	if err := p.pool.SendBatch(ctx, &b).Close(); err != nil {
		return err
	}
	now := time.Now()
	p.tell(all, func(t turned) rooms.Change {
		return rooms.Change{Ctx: context.Background(), Participant: rooms.Participant{
			RoomID: ids[t.room], Generation: t.room, ClientID: t.client, At: now,
		}}
	})
	return nil
}

// retire says that this node is dead.
func (p *Presence) retire(ctx context.Context) error {
	if p.number == 0 {
		return nil
	}
	bounded, cancel := bound(ctx)
	defer cancel()
	if p.told == nil { // it has said nothing
		_, err := p.pool.Exec(bounded, `DELETE FROM nodes WHERE number = $1`, p.number)
		return err
	}
	if _, err := p.pool.Exec(bounded, `UPDATE nodes SET expires_at = '-infinity' WHERE number = $1`, p.number); err != nil {
		return err
	}
	return p.reap(ctx, 0)
}
