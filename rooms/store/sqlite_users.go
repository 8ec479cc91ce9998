package store

import (
	"context"

	"github.com/traceroom/traceroom/rooms"
)

const sqlUser = `SELECT id, name, handle, created_at, updated_at FROM users`

// CreateUser implements rooms.Store.
func (s *sqliteStore) CreateUser(ctx context.Context, u rooms.User) error {
	return s.execOne(ctx, handleTaken(u),
		`INSERT INTO users (id, name, handle, created_at, updated_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		u.ID, u.Name, u.Handle, u.CreatedAt.UnixMilli(), u.UpdatedAt.UnixMilli())
}

// DeleteUser implements rooms.Store.
func (s *sqliteStore) DeleteUser(ctx context.Context, id string) error {
	return s.execOne(ctx, rooms.NotFound("user", "id", id), `DELETE FROM users WHERE id = ?`, id)
}

// User implements rooms.Store.
func (s *sqliteStore) User(ctx context.Context, id string) (rooms.User, error) {
	return one(ctx, s.user, scanUser, "user", "id", id, id)
}

// Users implements rooms.Store.
func (s *sqliteStore) Users(ctx context.Context) ([]rooms.User, error) {
	return collect(ctx, s.users, scanUser)
}
