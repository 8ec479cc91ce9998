package store

import (
	"context"
	"errors"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

const (
	pgRoom    = `SELECT number, id, name, created_at, last_seq, deleted FROM rooms`
	pgColumns = `SELECT r.id, m.room, m.seq, m.client_id, m.text, m.is_reply, m.parent_id, m.created_at, m.updated_at,
	m.traceparent, m.tracestate, m.id`
	pgMessage = pgColumns + ` FROM messages m JOIN rooms r ON r.number = m.room`
	// The room is looked up once, so that PostgreSQL reads the messages along their key. It sends all rows that a query finds: so
	// the query leaves out what the part has no place for, except for one row, which says that there is more. The length of a text is
	// known without reading the text.
	pgMessages = `SELECT $1, m.room, m.seq, m.client_id, m.text, m.is_reply, m.parent_id, m.created_at, m.updated_at,
	m.traceparent, m.tracestate, m.id
	FROM (SELECT m.*, row_number() OVER w AS nth, sum(octet_length(m.text)) OVER w - octet_length(m.text) AS before FROM (
		SELECT * FROM messages m WHERE m.room = (SELECT number FROM rooms WHERE id = $1) AND m.seq > $2 AND NOT m.deleted`
	pgPart = ` ORDER BY m.seq LIMIT $3) m WINDOW w AS (ORDER BY m.seq ROWS UNBOUNDED PRECEDING)) m
	WHERE m.nth <= 2 OR m.before <= $4 ORDER BY m.seq`
	// The row before the first of the newest has as many rows above it as there may be.
	pgNewest = ` AND m.seq > coalesce((SELECT o.seq FROM messages o
		WHERE o.room = (SELECT number FROM rooms WHERE id = $1) AND o.seq > $2 AND NOT o.deleted ORDER BY o.seq DESC OFFSET $5 LIMIT 1), 0)`
)

// Room implements rooms.Store.
func (s *postgresStore) Room(ctx context.Context, id string) (rooms.Room, error) {
	return oneOf(ctx, s, s.scanRoom, rooms.NotFound("room", "room_id", id), pgRoom+` WHERE id = $1`, id)
}

// Rooms implements rooms.Store.
func (s *postgresStore) Rooms(ctx context.Context) ([]rooms.Room, error) {
	return collectPostgres(ctx, s, s.scanRoom, pgRoom+` ORDER BY created_at, id`)
}

// Heads implements rooms.Store.
func (s *postgresStore) Heads(ctx context.Context, ids []string) (map[string]rooms.Head, int, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	heads := make(map[string]rooms.Head, len(ids))
	var count int
	var b pgx.Batch
	b.Queue(`SELECT id, number, last_seq FROM rooms WHERE id = ANY ($1)`, ids).Query(func(rows pgx.Rows) error {
		var id string
		var head rooms.Head
		_, err := pgx.ForEachRow(rows, []any{&id, &head.Generation, &head.LastSeq}, func() error {
			heads[id] = head
			return nil
		})
		return err
	})
	b.Queue(`SELECT count(*) FROM rooms`).QueryRow(func(row pgx.Row) error { return row.Scan(&count) })
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, 0, err
	}
	return heads, count, nil
}

// After implements rooms.Store.
func (s *postgresStore) After(ctx context.Context, roomID string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return s.collectPart(ctx, pgMessages+pgPart, most, roomID, seq, rowsOf(most), bytesOf(most))
}

// Newest implements rooms.Store.
func (s *postgresStore) Newest(ctx context.Context, roomID string, seq int64, newest int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return s.collectPart(ctx, pgMessages+pgNewest+pgPart, most, roomID, seq, rowsOf(most), bytesOf(most), max(newest, 0))
}

// bytesOf returns the bound of a part's bytes as an argument.
func bytesOf(most rooms.ReadLimit) int64 {
	if most.Bytes <= 0 {
		return math.MaxInt64
	}
	return int64(most.Bytes)
}

// collectPart returns the messages of a query, as many as most allows.
func (s *postgresStore) collectPart(ctx context.Context, query string, most rooms.ReadLimit, args ...any) ([]*rooms.Message, bool, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	return scanPart(rows, scanMessage, most)
}

// Message implements rooms.Store.
func (s *postgresStore) Message(ctx context.Context, id string) (*rooms.Message, error) {
	return oneOf(ctx, s, scanMessage, rooms.NotFound("message", "id", id), pgMessage+` WHERE m.id = $1 AND NOT m.deleted`, id)
}

// Sent implements rooms.Store.
func (s *postgresStore) Sent(ctx context.Context, roomID, clientID, ref string) (*rooms.Message, error) {
	return oneOf(ctx, s, scanMessage, rooms.NotFound("message", "ref", ref), pgMessage+`
		JOIN message_refs f ON f.room = m.room AND f.seq = m.seq
		WHERE r.id = $1 AND f.client_id = $2 AND f.ref = $3 AND f.created_at > `+pgForgotten, roomID, clientID, ref)
}

// collectPostgres returns all rows of a query.
func collectPostgres[T any](ctx context.Context, s *postgresStore, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (T, error) { return scan(r) })
}

// oneOf returns the one row of a query, or missing if there is none.
func oneOf[T any](ctx context.Context, s *postgresStore, scan func(row) (T, error), missing *rooms.Error, query string, args ...any) (T, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	var none T
	one, err := scan(s.pool.QueryRow(ctx, query, args...))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return none, missing
	case err != nil:
		return none, err
	}
	return one, nil
}
