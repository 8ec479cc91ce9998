package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// The age of refs is measured by PostgreSQL's clock, which all nodes share.
const (
	pgForgotten = `clock_timestamp() - interval '10 minutes'` // rooms.RefAge
	pgForget    = `DELETE FROM message_refs f USING unnest($1::text[], $2::text[], $3::text[]) AS k (room, client_id, ref), rooms r
	WHERE r.id = k.room AND f.room = r.number AND f.client_id = k.client_id AND f.ref = k.ref AND f.created_at <= ` + pgForgotten
	pgRepeats = pgColumns + `, f.ref FROM unnest($1::text[], $2::text[], $3::text[]) AS k (room, client_id, ref)
	JOIN rooms r ON r.id = k.room
	JOIN message_refs f ON f.room = r.number AND f.client_id = k.client_id AND f.ref = k.ref
	JOIN messages m ON m.room = f.room AND m.seq = f.seq`
)

// findRepeats marks the drafts of the calls that are repetitions, and removes refs of the others that are too old. An earlier attempt
// at the same drafts, to which there was no answer, may have succeeded: what it stored makes no draft a repetition.
func (s *postgresStore) findRepeats(ctx context.Context, calls []*call) error {
	own := make(map[string]bool)
	for _, c := range calls {
		for _, d := range c.drafts {
			own[d.Message.ID] = true
		}
	}
	var roomIDs, clients, refs []string
	for _, k := range refKeys(calls) {
		roomIDs, clients, refs = append(roomIDs, k.room), append(clients, k.client), append(refs, k.ref)
	}
	known, err := s.known(ctx, roomIDs, clients, refs)
	if err != nil {
		return err
	}
	for key, m := range known {
		if own[m.ID] {
			delete(known, key)
		}
	}
	markRepeats(calls, known)
	return nil
}

// known returns the messages that are stored under these refs.
func (s *postgresStore) known(ctx context.Context, roomIDs, clients, refs []string) (map[refKey]*rooms.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	known := make(map[refKey]*rooms.Message)
	var b pgx.Batch
	b.Queue(pgForget, roomIDs, clients, refs)
	b.Queue(pgRepeats, roomIDs, clients, refs).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var ref string
			m, err := scanMore(rows, &ref)
			if err != nil {
				return err
			}
			known[refKey{m.RoomID, m.ClientID, ref}] = m
		}
		return rows.Err()
	})
	return known, s.pool.SendBatch(ctx, &b).Close()
}

// forget removes some refs that are too old. It reports whether there may be more.
func (s *postgresStore) forget(ctx context.Context) (more bool, err error) {
	const rows = 1000
	removed, err := s.exec(ctx, `DELETE FROM message_refs WHERE (room, client_id, ref) IN
		(SELECT room, client_id, ref FROM message_refs WHERE created_at <= `+pgForgotten+` ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED)`, rows)
	if err != nil || removed == rows {
		return err == nil, err
	}
	ctx, cancel := bound(ctx)
	defer cancel()
	var left bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM message_refs)`).Scan(&left); err != nil {
		return false, err
	}
	if left {
		s.forgetter.wake()
	}
	return false, nil
}
