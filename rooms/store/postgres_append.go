package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/traceroom/traceroom/rooms"
)

const (
	// attemptTimeout bounds one attempt at a transaction. The rest of postgresTimeout is for finding out whether it was stored, every
	// settlePause.
	attemptTimeout = 3 * time.Second
	settlePause    = 50 * time.Millisecond

	uniqueViolation = "23505"
)

// errUnknown: the connection was lost before PostgreSQL answered, and PostgreSQL could not be asked afterwards.
var errUnknown = errors.New("whether it was stored is not known")

// unknown returns the error for clients if errUnknown is because of err.
func unknown(err error) error { return rooms.NotKnown(fmt.Errorf("%w: %w", errUnknown, err)) }

// Append implements rooms.Store. It takes at most postgresTimeout, or twice that if it had to wait for a transaction before.
func (s *postgresStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	return s.group.append(ctx, roomID, drafts)
}

// commit stores the calls' drafts in one transaction and sets the calls' errors.
func (s *postgresStore) commit(ctx context.Context, calls []*call) {
	ctx, cancel := bound(ctx)
	defer cancel()
	defer context.AfterFunc(s.appending, cancel)()
	for _, c := range calls {
		c.reset()
		for _, d := range c.drafts {
			d.Message.ID = rooms.NewID() // by which settle recognises it
		}
	}
	err := s.store(ctx, calls)
	for isRefTaken(err) && ctx.Err() == nil {
		// Another node may store a message under a ref between the search and the next attempt.
		if err = s.findRepeats(ctx, calls); err == nil {
			err = s.store(ctx, calls)
		} else {
			err = fmt.Errorf("%w: %w", errNotAsked, err)
		}
	}
	switch {
	case err == nil:
	case !refused(err):
		s.settle(ctx, calls, err)
	case len(calls) > 1 && isOfData(err):
		// One of the calls has what cannot be stored, such as a text that PostgreSQL refuses. The others must not suffer.
		for i := range calls {
			s.commit(ctx, calls[i:i+1])
		}
	default:
		fail(calls, err)
	}
}

// settle finds out whether a transaction was committed to which there was no answer, and tries it again if it was not. The first
// attempt may still be on its way then: as ids are unique, only one of the two can succeed, and if that is the first, findStored
// finds its messages the next time.
func (s *postgresStore) settle(ctx context.Context, calls []*call, err error) {
	for {
		select {
		case <-ctx.Done():
			fail(calls, unknown(err))
			return
		case <-time.After(settlePause):
		}
		missing, findErr := s.findStored(ctx, calls)
		if findErr != nil {
			continue
		}
		if calls = missing; len(calls) == 0 {
			return
		}
		switch err = s.store(ctx, calls); {
		case err == nil:
			return
		case isRefTaken(err):
			_ = s.findRepeats(ctx, calls) // after an error the next attempt fails again
		case refused(err) && !isUniqueViolation(err):
			fail(calls, err)
			return
		}
	}
}

// fail sets the calls' errors.
func fail(calls []*call, err error) {
	for _, c := range calls {
		c.err = fmt.Errorf("store: append: %w", err)
	}
}

// refused reports whether err means that the transaction has not been committed and will not be: PostgreSQL answered with an
// error, or was never asked.
func refused(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.SeverityUnlocalized == "ERROR"
	}
	return errors.Is(err, errNotAsked) || pgconn.SafeToRetry(err)
}

// errNotAsked: the transaction was not sent to PostgreSQL.
var errNotAsked = errors.New("PostgreSQL cannot be reached")

// isOfData reports whether PostgreSQL refused the data: a data exception, or a violated constraint.
func isOfData(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && (strings.HasPrefix(answer.Code, "22") || strings.HasPrefix(answer.Code, "23"))
}

// isRefTaken reports whether err means that a room has a message of the client under one of the refs.
func isRefTaken(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == uniqueViolation && answer.TableName == "message_refs"
}

func isUniqueViolation(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == uniqueViolation
}

// columns are the arguments of an append: the rooms with the number of their new messages, and the messages by column.
type columns struct {
	rooms                                        []string
	counts                                       []int64
	room, id, client, text, parent, trace, state []string
	ref                                          []string
	refs                                         bool    // ref has any
	back                                         []int64 // distance from the room's new last_seq
	reply                                        []bool
	created, updated                             []int64
}

// columnsPool keeps columns for later appends. That saves 48 of 204 allocations an append of 8 messages (BenchmarkPostgres).
var columnsPool = sync.Pool{New: func() any { return new(columns) }}

// reset empties c and lets go of the messages.
func (c *columns) reset() {
	for _, s := range []*[]string{&c.rooms, &c.room, &c.id, &c.client, &c.text, &c.parent, &c.trace, &c.state, &c.ref} {
		clear(*s)
		*s = (*s)[:0]
	}
	c.counts, c.back, c.reply, c.created, c.updated = c.counts[:0], c.back[:0], c.reply[:0], c.created[:0], c.updated[:0]
	c.refs = false
}

// add adds a call's new drafts.
func (c *columns) add(call *call) {
	left := int64(call.left())
	c.rooms = append(c.rooms, call.roomID)
	c.counts = append(c.counts, left)
	for _, d := range call.drafts {
		if d.Repeated {
			continue
		}
		m := d.Message
		left--
		c.room = append(c.room, call.roomID)
		c.back = append(c.back, left)
		c.ref = append(c.ref, d.Ref)
		c.refs = c.refs || d.Ref != ""
		c.id = append(c.id, m.ID)
		c.client = append(c.client, m.ClientID)
		c.text = append(c.text, m.Text)
		c.reply = append(c.reply, m.IsReply)
		c.parent = append(c.parent, m.ParentID)
		c.created = append(c.created, m.CreatedAt.UnixMilli())
		c.updated = append(c.updated, m.UpdatedAt.UnixMilli())
		c.trace = append(c.trace, m.Trace.Parent)
		c.state = append(c.state, m.Trace.State)
	}
}

const (
	sqlLockRooms = `SELECT FROM rooms WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`
	sqlStored    = `
WITH room AS (
	UPDATE rooms SET last_seq = last_seq + n FROM unnest($1::text[], $2::bigint[]) AS c (room, n) WHERE id = room
	RETURNING number, id, last_seq
), stored AS (
	INSERT INTO messages (room, seq, id, client_id, text, is_reply, parent_id, created_at, updated_at, traceparent, tracestate)
	SELECT room.number, room.last_seq - m.back, m.id, m.client_id, m.text, m.is_reply, nullif(m.parent_id, ''),
		m.created_at, m.updated_at, m.traceparent, m.tracestate
	FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::boolean[], $9::text[], $10::bigint[],
		$11::bigint[], $12::text[], $13::text[]) AS m (room, back, id, client_id, text, is_reply, parent_id, created_at,
		updated_at, traceparent, tracestate)
	JOIN room ON room.id = m.room
)`
	sqlAppended = `
SELECT id, number, last_seq FROM room`
	sqlAppend     = sqlStored + sqlAppended
	sqlAppendRefs = sqlStored + `, refs AS (
	INSERT INTO message_refs (room, client_id, ref, seq)
	SELECT room.number, m.client_id, m.ref, room.last_seq - m.back
	FROM unnest($3::text[], $4::bigint[], $6::text[], $14::text[]) AS m (room, back, client_id, ref)
	JOIN room ON room.id = m.room WHERE m.ref <> ''
)` + sqlAppended
)

// store is one attempt at the transaction: all calls' drafts or none, except those for rooms that do not exist. If it
// returns nil, it has set the calls' errors.
func (s *postgresStore) store(ctx context.Context, calls []*call) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	defer conn.Release()

	c := columnsPool.Get().(*columns)
	defer columnsPool.Put(c)
	defer c.reset()
	for _, call := range calls {
		c.add(call)
	}
	query, args := sqlAppend, []any{c.rooms, c.counts, c.room, c.back, c.id, c.client, c.text, c.reply, c.parent, c.created, c.updated, c.trace, c.state}
	if c.refs {
		query, args = sqlAppendRefs, append(args, c.ref)
	}

	last := make(map[string]rooms.Head, len(calls))
	read := func(rows pgx.Rows) error {
		var id string
		var head rooms.Head
		_, err := pgx.ForEachRow(rows, []any{&id, &head.Generation, &head.LastSeq}, func() error {
			last[id] = head
			return nil
		})
		return err
	}
	if len(calls) == 1 {
		rows, _ := conn.Query(ctx, query, args...) // the error is in rows too
		err = read(rows)
	} else {
		var b pgx.Batch
		b.Queue(sqlLockRooms, c.rooms)
		b.Queue(query, args...).Query(read)
		err = conn.SendBatch(ctx, &b).Close()
	}
	if err != nil {
		return err
	}

	messages := 0
	for _, call := range calls {
		head, ok := last[call.roomID]
		if !ok {
			call.err = rooms.NotFound("room", "room_id", call.roomID)
			continue
		}
		call.err = nil
		messages += call.left()
		seq := head.LastSeq - int64(call.left())
		for _, d := range call.drafts {
			if !d.Repeated {
				seq++
				d.Message.Generation, d.Message.Seq = head.Generation, seq
			}
		}
		call.copyFirsts()
	}
	s.committed(messages, c.refs)
	return nil
}

// committed reports a transaction of this many messages.
func (s *postgresStore) committed(messages int, refs bool) {
	if messages > 0 {
		s.opts.BatchCommitted(messages)
	}
	if refs {
		s.forgetter.wake()
	}
}

const sqlFindStored = `SELECT m.id, m.room, m.seq FROM messages m JOIN rooms r ON r.number = m.room WHERE m.id = ANY ($1)`

// findStored finds the calls whose drafts are stored, completes them, and returns the others.
func (s *postgresStore) findStored(ctx context.Context, calls []*call) (missing []*call, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var ids []string
	for _, c := range calls {
		for _, d := range c.drafts {
			ids = append(ids, d.Message.ID)
		}
	}
	stored := make(map[string]rooms.Head)
	var id string
	var place rooms.Head
	rows, _ := s.pool.Query(ctx, sqlFindStored, ids) // the error is in rows too
	_, err = pgx.ForEachRow(rows, []any{&id, &place.Generation, &place.LastSeq}, func() error {
		stored[id] = place
		return nil
	})
	if err != nil {
		return nil, err
	}
	messages, refs := 0, false
	for _, c := range calls {
		first := slices.IndexFunc(c.drafts, func(d rooms.Draft) bool { return !d.Repeated })
		if first >= 0 && stored[c.drafts[first].Message.ID] == (rooms.Head{}) {
			missing = append(missing, c)
			continue
		}
		c.err = nil
		messages += c.left()
		for _, d := range c.drafts {
			if !d.Repeated {
				place := stored[d.Message.ID]
				d.Message.Generation, d.Message.Seq = place.Generation, place.LastSeq
				refs = refs || d.Ref != ""
			}
		}
		c.copyFirsts()
	}
	s.committed(messages, refs)
	return missing, nil
}
