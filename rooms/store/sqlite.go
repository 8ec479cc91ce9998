package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/traceroom/traceroom/rooms"
	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

const (
	// checkpointAfter is how long after a commit the WAL is written to the disk and moved into the database. It bounds
	// what a power failure may take under synchronous=normal.
	checkpointAfter = time.Second
	// maxWALPages is the length of the WAL, in pages of 4 KiB, at which a commit moves it into the database and starts it anew.
	// Under load only a commit can do that, and it waits for the disk, some 15 ms. With a quarter of the pages, commits waited four
	// times as often.
	maxWALPages = 16384
	// sqliteReaders is how many reads run at once, each on a connection of its own.
	sqliteReaders = 4
)

// sqliteStore is rooms.Store on SQLite. A file is in WAL mode, in which reads go on beside the one writer.
//
// w is a pool of one connection: who has it may write, and owns appender. For a database in memory r is w, so whoever has w's
// connection must not read from r.
//
// Lock order: the group's, then w's connection.
type sqliteStore struct {
	*group
	opts Options
	epochPrefix
	full bool    // every transaction waits for the disk
	w, r *sql.DB // the writer, and the readers
	c    *sql.DB // one connection for checkpoints; nil in memory

	path string      // of the file; empty in memory
	file os.FileInfo // of the file when it was opened

	appender     appender
	sweeper      *background // removes the messages of deleted rooms
	forgetter    *background // removes old refs
	checkpointer *background // nil in memory

	room, list, after, newest, message, sent, user, users *sql.Stmt
}

var _ rooms.Store = (*sqliteStore)(nil)

func openSQLite(ctx context.Context, path string, params url.Values, opts Options) (_ rooms.Store, err error) {
	synchronous := "normal"
	for key, values := range params {
		if key != "synchronous" {
			return nil, fmt.Errorf("unknown parameter %q: SQLite takes synchronous alone", key)
		}
		synchronous = strings.ToLower(values[len(values)-1])
		if synchronous != "normal" && synchronous != "full" {
			return nil, fmt.Errorf("synchronous is %q: want normal or full", synchronous)
		}
	}
	if path == "" {
		return nil, errors.New("the path is missing: want sqlite://PATH, or sqlite://:memory: for none")
	}

	s := &sqliteStore{opts: opts, full: synchronous == "full"}
	s.group = newGroup(1, s.commit)
	s.appender = newAppender()
	defer func() {
		if err != nil {
			_ = s.closeDatabase() // what went wrong before is what matters
		}
	}()
	if path == ":memory:" {
		if s.w, err = openPool("file::memory:", 1); err != nil {
			return nil, err
		}
		s.r = s.w
	} else if err = s.openFile(ctx, path, synchronous); err != nil {
		return nil, explainSQLite(path, err)
	}
	if err := migrate(ctx, s.w, goose.DialectSQLite3, "sqlite"); err != nil {
		return nil, explainSQLite(path, err)
	}
	if err := s.beginLife(ctx); err != nil {
		return nil, explainSQLite(path, err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	s.sweeper = startBackground(0, s.sweep, opts.Failed)
	s.sweeper.wake() // an earlier process may have left something
	s.forgetter = startBackground(forgetEvery, (&refWalk{store: s}).step, opts.Failed)
	s.forgetter.wake()
	if s.c != nil {
		s.checkpointer = startBackground(checkpointAfter, s.checkpoint, opts.Failed)
	}
	return s, nil
}

// openFile opens the pools of a database file.
func (s *sqliteStore) openFile(ctx context.Context, path, synchronous string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	switch info, err := os.Stat(filepath.Dir(abs)); {
	case err != nil:
		return fmt.Errorf("the folder cannot be used: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", filepath.Dir(abs))
	}
	if info, err := os.Stat(abs); err == nil && info.IsDir() {
		return errors.New("is a folder, want a file")
	}
	uri := url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}
	if !strings.HasPrefix(uri.Path, "/") {
		uri.Path = "/" + uri.Path
	}
	pool := func(size int, pragmas ...string) (*sql.DB, error) {
		query := url.Values{"_pragma": pragmas}
		if runtime.GOOS != "windows" {
			// This VFS locks the file while it is open, so that no other process can write messages. As no other can read either,
			// it keeps the index of the WAL in its own memory, which is faster. Windows has no such VFS: there nothing
			// stops a second process.
			query.Set("vfs", cmp.Or(s.opts.vfs, "unix-excl"))
		}
		uri.RawQuery = query.Encode()
		return openPool(uri.String(), size)
	}
	s.w, err = pool(1, "journal_mode(wal)", "synchronous("+synchronous+")", fmt.Sprintf("wal_autocheckpoint(%d)", maxWALPages))
	if err != nil {
		return err
	}
	// The first connection does not wait: if the file is locked, another process has it. All later locks are short.
	if _, err := s.w.ExecContext(ctx, "PRAGMA busy_timeout = 5000"); err != nil {
		return err
	}
	if s.file, err = os.Stat(abs); err != nil {
		return err
	}
	s.path = abs
	if s.c, err = pool(1, "busy_timeout(5000)", "synchronous("+synchronous+")"); err != nil {
		return err
	}
	s.r, err = pool(sqliteReaders, "busy_timeout(5000)", "query_only(1)")
	return err
}

// openPool opens a database with this many connections.
func openPool(dsn string, size int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// explainSQLite returns an error that says in plain words what SQLite found wrong with the file.
func explainSQLite(path string, err error) error {
	switch sqliteCode(err) & 0xff {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return fmt.Errorf("%s is in use by another process", path)
	case codes.SQLITE_CANTOPEN, codes.SQLITE_PERM:
		return fmt.Errorf("%s cannot be opened or created: are it and its folder writable?", path)
	case codes.SQLITE_READONLY:
		return fmt.Errorf("%s is not writable", path)
	case codes.SQLITE_NOTADB, codes.SQLITE_CORRUPT:
		return fmt.Errorf("%s is not an SQLite database, or damaged: %w", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// sqliteCode returns SQLite's extended result code, or 0 if err is not from SQLite.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// write calls f with the writer's connection. The end of ctx ends the wait for it, but does not interrupt f, which is short.
func (s *sqliteStore) write(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	conn, err := s.w.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(context.WithoutCancel(ctx), conn)
}

// writeTx is write with f in a transaction.
func (s *sqliteStore) writeTx(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := f(ctx, tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
}

// Ping implements rooms.Store. It writes, as only that shows whether the disk can be written to, and checks that the file is still in
// its place: SQLite can also write to a file that has been deleted.
func (s *sqliteStore) Ping(ctx context.Context) error {
	if s.path != "" {
		switch now, err := os.Stat(s.path); {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the database file %s has been deleted or moved: what is stored now will not be there after a restart", s.path)
		case err != nil:
			return fmt.Errorf("the database file: %w", err)
		case !os.SameFile(s.file, now):
			return fmt.Errorf("the database file %s has been replaced by another: what is stored now will not be there after a restart", s.path)
		}
	}
	return s.write(ctx, func(ctx context.Context, conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "PRAGMA user_version = 1")
		return err
	})
}

// checkpoint moves the WAL into the database, while reads and writes go on.
func (s *sqliteStore) checkpoint(ctx context.Context) (more bool, err error) {
	_, err = s.c.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
	return false, err
}

// Close implements rooms.Store.
func (s *sqliteStore) Close() error {
	if !s.group.close() {
		return nil
	}
	s.sweeper.stop()
	s.forgetter.stop()
	s.checkpointer.stop()
	return errors.Join(s.endLife(), s.closeDatabase())
}

// closeDatabase closes the writer last: the last connection moves the WAL into the database.
func (s *sqliteStore) closeDatabase() error {
	var errs []error
	if s.c != nil {
		errs = append(errs, s.c.Close())
	}
	if s.r != nil && s.r != s.w {
		errs = append(errs, s.r.Close())
	}
	if s.w != nil {
		s.appender.close()
		errs = append(errs, s.w.Close())
	}
	return errors.Join(errs...)
}
