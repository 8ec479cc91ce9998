package store

import (
	"context"
	"database/sql"

	"github.com/traceroom/traceroom/rooms"
)

const sqlUser = `SELECT id, name, handle, created_at, updated_at FROM users`

// CreateUser implements rooms.Store.
func (s *sqliteStore) CreateUser(ctx context.Context, u rooms.User) error {
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		result, err := conn.ExecContext(ctx,
			`INSERT INTO users (id, name, handle, created_at, updated_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			u.ID, u.Name, u.Handle, u.CreatedAt.UnixMilli(), u.UpdatedAt.UnixMilli())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 1 || err != nil {
			return err
		}
		return handleTaken(u)
	})
}

// DeleteUser implements rooms.Store.
func (s *sqliteStore) DeleteUser(ctx context.Context, id string) error {
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		result, err := conn.ExecContext(ctx, `DELETE FROM users WHERE id = ?`, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 1 || err != nil {
			return err
		}
		return rooms.NotFound("user", "id", id)
	})
}

// User implements rooms.Store.
func (s *sqliteStore) User(ctx context.Context, id string) (rooms.User, error) {
	return one(ctx, s.user, scanUser, "user", "id", id, id)
}

// Users implements rooms.Store.
func (s *sqliteStore) Users(ctx context.Context) ([]rooms.User, error) {
	return collect(ctx, s.users, scanUser)
}
