package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// begin finds out which life of the database this is (see the table life), and has the disk say so before anything is
// appended. If the database was not closed, and the operating system has been started since, the newest messages may be
// lost: this is another life.
func (s *sqliteStore) begin(ctx context.Context) error {
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		var id string
		var lives int64
		var boot sql.NullString
		if err := conn.QueryRowContext(ctx, `SELECT id, lives, boot FROM life`).Scan(&id, &lives, &boot); err != nil {
			return err
		}
		// Where every transaction waits for the disk, there is nothing to lose.
		now := sql.NullString{String: s.opts.bootID(), Valid: !s.full}
		lost := boot.Valid && (boot.String == "" || boot.String != s.opts.bootID())
		if lost {
			lives++
		}
		s.numbering = numbering(fmt.Sprintf("%s.%d.", id, lives))
		if !lost && boot == now {
			return nil
		}
		return s.durably(ctx, conn, `UPDATE life SET lives = ?, boot = ?`, lives, now)
	})
}

// end has the disk say that nothing can be lost. Nothing may be written behind it.
func (s *sqliteStore) end() error {
	if s.full {
		return nil
	}
	return s.write(context.Background(), func(ctx context.Context, conn *sql.Conn) error {
		return s.durably(ctx, conn, `UPDATE life SET boot = NULL`)
	})
}

// durably executes a statement and waits until it, and all before it, is on the disk: it is in the WAL behind what has not
// been moved into the database yet.
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
