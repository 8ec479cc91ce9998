package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// These transactions need not wait for the disk: what a crash of PostgreSQL takes of them is found when rows are counted.
const sqlNoWait = `SELECT set_config('synchronous_commit', 'off', true)`

const (
	sqlLockNode = `SELECT number FROM nodes WHERE number = $1 FOR KEY SHARE`
	// Rooms that exist now cannot be deleted before the transaction ends.
	sqlAttend = `
WITH present AS (SELECT number FROM rooms WHERE number = ANY ($1::bigint[]) ORDER BY number FOR KEY SHARE)
INSERT INTO attendance (room) SELECT number FROM present ORDER BY number ON CONFLICT DO NOTHING`
	sqlLockAttendance = `SELECT room FROM attendance WHERE room = ANY ($1::bigint[]) ORDER BY room FOR UPDATE`
	// A client has come or gone if it is on no other node. An unsure change may have been made already: then only its result is
	// read.
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

// flush writes the pending entries.
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
			p.putBack(batch, false)
			return p.register(ctx)
		}
		if err != nil {
			p.putBack(batch, !refused(err))
			return err
		}
	}
	return nil // without a number, all entries are pending until the node is registered
}

// change is an entry that is being written, as it was when it was taken.
type change struct {
	entry   *entry
	who     rooms.Participant
	ctx     context.Context
	present bool
	unsure  bool
}

// take takes a batch of the pending entries. more reports that others are left.
func (p *Presence) take() (batch []change, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.pending), presenceBatch)
	for _, e := range p.pending[:n] {
		e.pending = false
		switch {
		case e.void:
			e.endWait()
			p.dropIfGone(e)
		case e.present == e.stored && !e.unsure:
			e.endWait()
			p.dropIfGone(e)
		default:
			batch = append(batch, change{e, e.Participant, e.ctx, e.present, e.unsure})
		}
	}
	p.pending = append(p.pending[:0], p.pending[n:]...)
	clear(p.pending[len(p.pending):cap(p.pending)])
	return batch, len(p.pending) > 0
}

// putBack makes a batch pending again whose transaction has failed. unsure says that it may have been committed.
func (p *Presence) putBack(batch []change, unsure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range batch {
		c.entry.unsure = c.entry.unsure || unsure
		p.enqueue(c.entry)
	}
}

// dropIfGone forgets an entry if the client has left and has no row in the database. mu is held.
func (p *Presence) dropIfGone(e *entry) {
	if e.present || (e.stored || e.unsure) && !e.void {
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

// turned is a client that has come or gone, as the database says.
type turned struct {
	room         int64
	client       string
	by           int   // 1: come; -1: gone
	done         bool  // by this transaction, not by an earlier one that was unsure
	participants int   // after all changes of the transaction
	turn         int64 // after all changes of the transaction
}

// write stores a batch in one transaction and one round trip, and calls notify with the changes.
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
		if c.present {
			to = &in
		}
		to.rooms = append(to.rooms, g)
		to.clients = append(to.clients, c.who.ClientID)
		to.unsure = append(to.unsure, c.unsure)
	}

	exists := make(map[int64]bool, len(numbers)) // rooms
	var all []turned
	var b pgx.Batch
	b.Queue(sqlNoWait)
	b.Queue(sqlLockNode, p.number)
	if len(in.rooms) > 0 {
		b.Queue(sqlAttend, in.rooms)
	}
	b.Queue(sqlLockAttendance, numbers).Query(func(rows pgx.Rows) error {
		var number int64
		_, err := pgx.ForEachRow(rows, []any{&number}, func() error { exists[number] = true; return nil })
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
		c.entry.stored, c.entry.unsure = c.present, false
		c.entry.void = c.entry.void || !exists[c.who.Generation]
		if c.entry.present != c.entry.stored {
			p.enqueue(c.entry) // it has changed since
		} else {
			c.entry.endWait()
			p.dropIfGone(c.entry)
		}
	}
	if len(p.pending) > 0 {
		p.wakeUp()
	}
	p.mu.Unlock()
	p.notifyAll(all, func(t turned) rooms.Change {
		c := byKey[t.room][t.client]
		return rooms.Change{Ctx: c.ctx, Participant: c.who}
	})
	return nil
}

// collectTurned reads the result of sqlParticipants.
func collectTurned(rows pgx.Rows) (all []turned, err error) {
	var t turned
	_, err = pgx.ForEachRow(rows, []any{&t.room, &t.client, &t.by, &t.done, &t.participants, &t.turn}, func() error {
		all = append(all, t)
		return nil
	})
	return all, err
}

// notifyAll calls notify with the changes of one transaction. The database has counted the changes of a room together: the numbers
// of those before the last are counted back from there.
func (p *Presence) notifyAll(all []turned, of func(turned) rooms.Change) {
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
		p.notify(c)
	}
}

// A node is dead if its lease has expired at the time of the transaction; when its row is locked, it cannot renew it any more.
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

// reap removes dead nodes and their clients, and calls notify with the clients that have gone. It leaves the node living alone.
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
	p.notifyAll(all, func(t turned) rooms.Change {
		return rooms.Change{Ctx: context.Background(), Participant: rooms.Participant{
			RoomID: ids[t.room], Generation: t.room, ClientID: t.client, At: now,
		}}
	})
	return nil
}

// retire makes this node a dead one and removes it.
func (p *Presence) retire(ctx context.Context) error {
	if p.number == 0 {
		return nil
	}
	bounded, cancel := bound(ctx)
	defer cancel()
	if p.notify == nil { // it has no clients
		_, err := p.pool.Exec(bounded, `DELETE FROM nodes WHERE number = $1`, p.number)
		return err
	}
	if _, err := p.pool.Exec(bounded, `UPDATE nodes SET expires_at = '-infinity' WHERE number = $1`, p.number); err != nil {
		return err
	}
	return p.reap(ctx, 0)
}
