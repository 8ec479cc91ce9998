package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"

	"github.com/traceroom/traceroom/rooms"
)

// The newest message of a room, deleted or not, is found by one search of the key. CROSS JOIN makes SQLite look for the room
// first.
const (
	sqlRoom = `SELECT number, id, name, created_at,
	coalesce((SELECT place FROM messages WHERE place > number << 36 AND place < (number + 1) << 36
	          ORDER BY place DESC LIMIT 1), 0) & ((1 << 36) - 1), deleted
	FROM rooms`
	sqlColumns = `SELECT r.id, r.number, m.place & ((1 << 36) - 1), m.client_id, m.text, m.is_reply, m.parent_id, m.created_at, max(m.created_at, m.updated_at),
	m.traceparent, m.tracestate`
	sqlMessage  = sqlColumns + ` FROM `
	sqlMessages = sqlMessage + `rooms r CROSS JOIN messages m
	ON m.place > (r.number << 36) + ? AND m.place < (r.number + 1) << 36
	WHERE r.id = ? AND NOT m.deleted`
	// ?1 is the sequence number above which they are, ?2 how many there may be. The row before the first of them has ?2 rows above it;
	// if nothing was deleted in the room, its place can be computed, otherwise it is looked for.
	sqlNewest = sqlMessage + `rooms r CROSS JOIN messages m
	ON m.place > max((r.number << 36) + ?1, coalesce(CASE r.deleted
		WHEN 0 THEN (SELECT o.place FROM messages o
			WHERE o.place > r.number << 36 AND o.place < (r.number + 1) << 36 ORDER BY o.place DESC LIMIT 1) - ?2
		ELSE (SELECT o.place FROM messages o
			WHERE o.place > (r.number << 36) + ?1 AND o.place < (r.number + 1) << 36 AND NOT o.deleted ORDER BY o.place DESC LIMIT 1 OFFSET ?2)
		END, 0))
	AND m.place < (r.number + 1) << 36
	WHERE r.id = ?3 AND NOT m.deleted`
)

// prepare prepares the statements that read.
func (s *sqliteStore) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.room, sqlRoom + ` WHERE id = ?`},
		{&s.list, sqlRoom + ` ORDER BY created_at, id`},
		{&s.after, sqlMessages + ` ORDER BY m.place LIMIT ?`},
		{&s.newest, sqlNewest + ` ORDER BY m.place LIMIT ?4`},
		{&s.message, sqlMessage + `messages m JOIN rooms r ON r.number = m.place >> 36 WHERE m.place = ? AND m.created_at = ? AND NOT m.deleted`},
		{&s.sent, sqlSent},
		{&s.user, sqlUser + ` WHERE id = ?`},
		{&s.users, sqlUser + ` ORDER BY created_at, id`},
	} {
		var err error
		if *p.stmt, err = s.r.PrepareContext(ctx, p.query); err != nil {
			return err
		}
	}
	return nil
}

// Room implements rooms.Store.
func (s *sqliteStore) Room(ctx context.Context, id string) (rooms.Room, error) {
	return one(ctx, s.room, s.scanRoom, "room", "room_id", id, id)
}

// Rooms implements rooms.Store.
func (s *sqliteStore) Rooms(ctx context.Context) ([]rooms.Room, error) {
	return collect(ctx, s.list, s.scanRoom)
}

const sqlHeads = `SELECT rooms.id, number,
	coalesce((SELECT place FROM messages WHERE place > number << 36 AND place < (number + 1) << 36
	          ORDER BY place DESC LIMIT 1), 0) & ((1 << 36) - 1)
	FROM json_each(?) AS k CROSS JOIN rooms ON rooms.id = k.value`

// Heads implements rooms.Store.
func (s *sqliteStore) Heads(ctx context.Context, ids []string) (map[string]rooms.Head, int, error) {
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, 0, err
	}
	tx, err := s.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, 0, err
	}
	defer tx.Rollback() //nolint:errcheck // there is nothing to undo
	var count int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM rooms`).Scan(&count); err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, sqlHeads, string(list))
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	heads := make(map[string]rooms.Head, len(ids))
	for rows.Next() {
		var id string
		var head rooms.Head
		if err := rows.Scan(&id, &head.Generation, &head.LastSeq); err != nil {
			return nil, 0, err
		}
		heads[id] = head
	}
	return heads, count, rows.Err()
}

// After implements rooms.Store.
func (s *sqliteStore) After(ctx context.Context, roomID string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return collectPart(ctx, s.after, most, min(max(seq, 0), maxSeq), roomID, rowsOf(most))
}

// Newest implements rooms.Store.
func (s *sqliteStore) Newest(ctx context.Context, roomID string, seq int64, newest int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	return collectPart(ctx, s.newest, most, min(max(seq, 0), maxSeq), max(newest, 0), roomID, rowsOf(most))
}

// collectPart returns the messages of a query, as many as most allows.
func collectPart(ctx context.Context, stmt *sql.Stmt, most rooms.ReadLimit, args ...any) ([]*rooms.Message, bool, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	return scanPart(rows, scanSQLiteMessage, most)
}

// Message implements rooms.Store.
func (s *sqliteStore) Message(ctx context.Context, id string) (*rooms.Message, error) {
	created, place, ok := placeOf(id)
	if !ok {
		return nil, rooms.NotFound("message", "id", id)
	}
	return one(ctx, s.message, scanSQLiteMessage, "message", "id", id, place, created)
}

// Sent implements rooms.Store.
func (s *sqliteStore) Sent(ctx context.Context, roomID, clientID, ref string) (*rooms.Message, error) {
	return one(ctx, s.sent, scanSQLiteMessage, "message", "ref", ref, roomID, clientID, ref, s.forgotten())
}

// one returns the one row of a query. If there is none, what (a "room") does not exist whose field is id.
func one[T any](ctx context.Context, stmt *sql.Stmt, scan func(row) (T, error), what, field, id string, args ...any) (T, error) {
	v, err := scan(stmt.QueryRowContext(ctx, args...))
	if errors.Is(err, sql.ErrNoRows) {
		var none T
		return none, rooms.NotFound(what, field, id)
	}
	return v, err
}

// collect returns all rows of a query.
func collect[T any](ctx context.Context, stmt *sql.Stmt, scan func(row) (T, error)) ([]T, error) {
	rows, err := stmt.QueryContext(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
