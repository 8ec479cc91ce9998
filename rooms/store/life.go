package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// beginLife reads which life of the database this is (see the table life), and marks it as open on the disk before anything
// is appended. If the database was not closed, and the operating system has been started since, the newest messages may be
// lost: a new life begins.
func (s *sqliteStore) beginLife(ctx context.Context) error {
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		var id string
		var lives int64
		var boot sql.NullString
		if err := conn.QueryRowContext(ctx, `SELECT id, lives, boot FROM life`).Scan(&id, &lives, &boot); err != nil {
			return err
		}
		// If every transaction waits for the disk, nothing can be lost.
		now := sql.NullString{String: s.opts.bootID(), Valid: !s.full}
		lost := boot.Valid && (boot.String == "" || boot.String != s.opts.bootID())
		if lost {
			lives++
		}
		s.epochPrefix = epochPrefix(fmt.Sprintf("%s.%d.", id, lives))
		if !lost && boot == now {
			return nil
		}
		return s.durably(ctx, conn, `UPDATE life SET lives = ?, boot = ?`, lives, now)
	})
}

// endLife notes on the disk that all messages are there. Nothing may be written after it.
func (s *sqliteStore) endLife() error {
	if s.full {
		return nil
	}
	return s.write(context.Background(), func(ctx context.Context, conn *sql.Conn) error {
		return s.durably(ctx, conn, `UPDATE life SET boot = NULL`)
	})
}

// durably executes a statement and waits until its effect is on the disk, and with it that of all statements before it, which
// come before it in the WAL.
func (s *sqliteStore) durably(ctx context.Context, conn *sql.Conn, query string, args ...any) error {
	if s.full {
		_, err := conn.ExecContext(ctx, query, args...)
		return err
	}
	if _, err := conn.ExecContext(ctx, `PRAGMA synchronous = full`); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, query, args...)
	_, normal := conn.ExecContext(ctx, `PRAGMA synchronous = normal`)
	return errors.Join(err, normal)
}
