package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// CreateRoom implements rooms.Store.
func (s *postgresStore) CreateRoom(ctx context.Context, room rooms.Room) (rooms.Room, bool, error) {
	for {
		created, err := s.exec(ctx, `INSERT INTO rooms (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			room.ID, room.Name, room.CreatedAt.UnixMilli())
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

// DeleteRoom implements rooms.Store. The room is gone at once. Its messages, which no read finds any more, are removed a few at a
// time.
func (s *postgresStore) DeleteRoom(ctx context.Context, id string) (int64, error) {
	number, err := oneOf(ctx, s, func(r row) (number int64, err error) { err = r.Scan(&number); return number, err },
		rooms.NotFound("room", "room_id", id), `WITH gone AS (DELETE FROM rooms WHERE id = $1 RETURNING number)
		INSERT INTO deleted_rooms (number) SELECT number FROM gone RETURNING number`, id)
	if err != nil {
		return 0, err
	}
	s.sweeper.wake()
	return number, nil
}

// sweep removes some messages of a deleted room. It reports whether there may be more. Nodes that sweep together take different rooms.
func (s *postgresStore) sweep(ctx context.Context) (more bool, err error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	const rows = 1000
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var number int64
		err := tx.QueryRow(ctx, `SELECT number FROM deleted_rooms LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&number)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true
		if _, err := tx.Exec(ctx, `DELETE FROM message_refs WHERE room = $1`, number); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM messages WHERE room = $1 AND seq IN
			(SELECT seq FROM messages WHERE room = $1 ORDER BY seq LIMIT $2)`, number, rows)
		if err != nil || tag.RowsAffected() == rows {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM deleted_rooms WHERE number = $1`, number)
		return err
	})
	return more, err
}

// DeleteMessage implements rooms.Store.
func (s *postgresStore) DeleteMessage(ctx context.Context, id string) error {
	n, err := s.exec(ctx, `WITH gone AS (UPDATE messages SET deleted = true, text = '' WHERE id = $1 AND NOT deleted RETURNING room)
		UPDATE rooms SET deleted = deleted + 1 FROM gone WHERE number = gone.room`, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return rooms.NotFound("message", "id", id)
	}
	return nil
}
