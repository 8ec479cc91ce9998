package store

import (
	"context"

	"github.com/traceroom/traceroom/rooms"
)

const pgUser = `SELECT id, name, handle, created_at, updated_at FROM users`

// CreateUser implements rooms.Store.
func (s *postgresStore) CreateUser(ctx context.Context, u rooms.User) error {
	n, err := s.exec(ctx, `INSERT INTO users (id, name, handle, created_at, updated_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		u.ID, u.Name, u.Handle, u.CreatedAt.UnixMilli(), u.UpdatedAt.UnixMilli())
	if err != nil {
		return err
	}
	if n == 0 {
		return handleTaken(u)
	}
	return nil
}

// DeleteUser implements rooms.Store.
func (s *postgresStore) DeleteUser(ctx context.Context, id string) error {
	n, err := s.exec(ctx, `DELETE FROM users WHERE id = $1`, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return rooms.NotFound("user", "id", id)
	}
	return nil
}

// User implements rooms.Store.
func (s *postgresStore) User(ctx context.Context, id string) (rooms.User, error) {
	return oneOf(ctx, s, scanUser, rooms.NotFound("user", "id", id), pgUser+` WHERE id = $1`, id)
}

// Users implements rooms.Store.
func (s *postgresStore) Users(ctx context.Context) ([]rooms.User, error) {
	return collectPostgres(ctx, s, scanUser, pgUser+` ORDER BY created_at, id`)
}
