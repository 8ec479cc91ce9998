package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
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
	// maxWALPages is the length of the WAL, in pages of 4 KiB, at which a commit moves what is left of it: under load
	// there always is something new, and only a commit can start the WAL afresh. It then waits for the disk, some 15 ms.
	maxWALPages = 16384
)

// sqliteReaders is how many reads run at once, each on a connection of its own.
const sqliteReaders = 4

// sqliteStore is rooms.Store on SQLite. A file is in WAL mode: reads go on beside the one writer.
//
// w is a pool of one connection. Having it is the right to write, and guards appender. For a database in memory r is w,
// so nothing may read from r while it holds w's connection.
//
// Lock order: group's, then w's connection.
type sqliteStore struct {
	*group
	opts Options
	numbering
	full bool // whether every transaction waits for the disk
	w, r *sql.DB
	c    *sql.DB // one more connection, for checkpoints; nil in memory

	path string      // of the file; empty in memory
	file os.FileInfo // says which file it is

	appender     appender
	sweeper      *background
	forgetter    *background
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
	s.appender = appender{control: make(map[string]driver.StmtExecContext), rooms: make(map[string]*roomPlace), mostRooms: maxCachedRooms}
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
	if err := s.begin(ctx); err != nil {
		return nil, explainSQLite(path, err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	s.sweeper = startBackground(0, s.sweep, opts.Failed)
	s.sweeper.wake() // an earlier process may have left something
	s.forgetter = startBackground(forgetEvery, (&walk{store: s}).forget, opts.Failed)
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
			// This VFS holds an exclusive lock on the file for as long as it is open, so that no other process may
			// number messages, and, as nobody else may look, keeps the WAL's index in its own memory, which is faster.
			// Windows has none like it: there nothing stops a second process.
			query.Set("vfs", cmp.Or(s.opts.vfs, "unix-excl"))
		}
		uri.RawQuery = query.Encode()
		return openPool(uri.String(), size)
	}
	s.w, err = pool(1, "journal_mode(wal)", "synchronous("+synchronous+")", fmt.Sprintf("wal_autocheckpoint(%d)", maxWALPages))
	if err != nil {
		return err
	}
	// The first connection finds out at once whether another process has the file. From here on all locks are short.
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

// explainSQLite says in the user's words what SQLite found wrong with the file.
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

// sqliteCode is SQLite's extended result code, 0 if err is none of its errors.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// write runs f with the writer's connection. ctx bounds the wait for it; what f does is short and is not interrupted.
func (s *sqliteStore) write(ctx context.Context, f func(ctx context.Context, conn *sql.Conn) error) error {
	conn, err := s.w.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(context.WithoutCancel(ctx), conn)
}

// writeTx is write in a transaction.
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

// Ping writes, as only that shows that the disk can be written to, and looks whether the file is where it was: one that has been
// deleted can be written to as well.
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

// checkpoint moves the WAL into the database, beside reads and writes.
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
	return errors.Join(s.end(), s.closeDatabase())
}

// closeDatabase closes the readers before the writer, whose connection, as the last, moves the WAL into the database.
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
