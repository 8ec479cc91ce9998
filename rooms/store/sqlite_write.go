package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/traceroom/traceroom/rooms"
)

// CreateRoom implements rooms.Store.
func (s *sqliteStore) CreateRoom(ctx context.Context, room rooms.Room) (rooms.Room, bool, error) {
	for {
		var created int64
		err := s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
			result, err := conn.ExecContext(ctx, `INSERT INTO rooms (id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
				room.ID, room.Name, room.CreatedAt.UnixMilli())
			if err != nil {
				return err
			}
			created, err = result.RowsAffected()
			return err
		})
		if err != nil {
			return rooms.Room{}, false, err
		}
		got, err := s.Room(ctx, room.ID)
		if errors.Is(err, rooms.ErrNotFound) {
			continue // deleted between the two
		}
		return got, created == 1, err
	}
}

// DeleteRoom implements rooms.Store. The room is gone at once. Its messages, which no read finds any more, are removed a few at a time:
// for a large room that takes seconds, for which no other room could append.
func (s *sqliteStore) DeleteRoom(ctx context.Context, id string) (int64, error) {
	var number int64
	err := s.writeTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		delete(s.appender.rooms, id)
		switch err := tx.QueryRowContext(ctx, `DELETE FROM rooms WHERE id = ? RETURNING number`, id).Scan(&number); {
		case errors.Is(err, sql.ErrNoRows):
			return rooms.NotFound("room", "room_id", id)
		case err != nil:
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO deleted_rooms (number) VALUES (?)`, number)
		return err
	})
	if err != nil {
		return 0, err
	}
	s.sweeper.wake()
	return number, nil
}

// sweepRows is how many rows are removed in one transaction, which takes about a millisecond.
const sweepRows = 200

// sweep removes some messages of a deleted room. It reports whether there may be more.
func (s *sqliteStore) sweep(ctx context.Context) (more bool, err error) {
	err = s.writeTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var number int64
		switch err := tx.QueryRowContext(ctx, `SELECT number FROM deleted_rooms LIMIT 1`).Scan(&number); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		more = true
		result, err := tx.ExecContext(ctx, `DELETE FROM message_refs WHERE (room, client_id, ref) IN
			(SELECT room, client_id, ref FROM message_refs WHERE room = ? LIMIT ?)`, number, sweepRows)
		if err != nil {
			return err
		}
		if removed, err := result.RowsAffected(); err != nil || removed > 0 {
			return err
		}
		result, err = tx.ExecContext(ctx, `DELETE FROM messages WHERE place IN
			(SELECT place FROM messages WHERE place > ? AND place < ? ORDER BY place LIMIT ?)`,
			number<<seqBits, (number+1)<<seqBits, sweepRows)
		if err != nil {
			return err
		}
		removed, err := result.RowsAffected()
		if err != nil || removed == sweepRows {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM deleted_rooms WHERE number = ?`, number)
		return err
	})
	return more, err
}

// DeleteMessage implements rooms.Store.
func (s *sqliteStore) DeleteMessage(ctx context.Context, id string) error {
	created, place, ok := placeOf(id)
	if !ok {
		return rooms.NotFound("message", "id", id)
	}
	return s.writeTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var number int64
		err := tx.QueryRowContext(ctx, `UPDATE messages SET deleted = 1, text = ''
			WHERE place = ? AND created_at = ? AND NOT deleted AND place >> 36 IN (SELECT number FROM rooms)
			RETURNING place >> 36`, place, created).Scan(&number)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return rooms.NotFound("message", "id", id)
		case err != nil:
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE rooms SET deleted = deleted + 1 WHERE number = ?`, number)
		return err
	})
}
