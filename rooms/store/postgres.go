package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/traceroom/traceroom/rooms"
)

const (
	// postgresTimeout bounds every operation, so that none hangs while PostgreSQL is away.
	postgresTimeout = 5 * time.Second
	// postgresConns is how many connections a node opens at most, unless the URL has pool_max_conns, and
	// postgresAppends how many of them append at once.
	postgresConns   = 16
	postgresAppends = 4
	// closeWait is how long Close waits for the appends that are under way, and then again for the connections to close.
	closeWait = 500 * time.Millisecond
)

// postgresStore is rooms.Store on PostgreSQL. Any number of nodes may share a database: an append takes its sequence numbers while it
// holds the lock of the room's row, up to the commit, so that messages become visible in the order of their numbers.
//
// Each append is one round trip, so no lock is held while PostgreSQL waits for a node: a node that stands still does not hold up
// others.
//
// Lock order in the database: rooms in the order of their ids, then messages.
type postgresStore struct {
	*group
	epochPrefix
	opts      Options
	pool      *pgxpool.Pool
	sweeper   *background // removes the messages of deleted rooms
	forgetter *background // removes old refs

	appending context.Context // is cancelled when Close gives up the appends that are under way
	giveUp    context.CancelFunc
}

var _ rooms.Store = (*postgresStore)(nil)

func openPostgres(ctx context.Context, databaseURL string, opts Options) (_ rooms.Store, err error) {
	if ambiguous(databaseURL) {
		return nil, errors.New("cannot parse the URL: an @ or / in the user's name or password is written as %40 or %2F")
	}
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, unparsable(err)
	}
	if !strings.Contains(databaseURL, "pool_max_conns") {
		config.MaxConns = postgresConns
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = postgresTimeout
	}
	for name, value := range map[string]string{
		"application_name": "traceroom",
		// Messages are to be read along their key. If most rooms are small, PostgreSQL expects few messages in a large one too,
		// and would read and sort all of them instead.
		"enable_sort": "off",
	} {
		if config.ConnConfig.RuntimeParams[name] == "" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	config.ConnConfig.Tracer = opts.Tracer
	// A commit that is acknowledged is on the disk, also if the server is configured otherwise.
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, oneLine(err)
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := awaitPostgres(ctx, pool, opts.Wait); err != nil {
		return nil, oneLine(err)
	}
	if err := migratePostgres(ctx, pool); err != nil {
		return nil, oneLine(err)
	}
	s := &postgresStore{opts: opts, pool: pool}
	s.appending, s.giveUp = context.WithCancel(context.Background())
	if err := pool.QueryRow(ctx, `SELECT left(id, 8) || '.' FROM cluster`).Scan(&s.epochPrefix); err != nil {
		return nil, oneLine(err)
	}
	s.group = newGroup(min(postgresAppends, max(1, int(config.MaxConns)/2)), s.commit)
	s.sweeper = startBackground(0, s.sweep, opts.Failed)
	s.forgetter = startBackground(forgetEvery, s.forget, opts.Failed)
	s.sweeper.wake() // an earlier process may have left something
	s.forgetter.wake()
	return s, nil
}

// ambiguous reports whether the URL has an @ before its parameters that does not end the user's name and password: a part of
// the password would be taken for the host or the database, and be quoted in errors.
func ambiguous(databaseURL string) bool {
	_, place, _ := strings.Cut(databaseURL, "://")
	place, _, _ = strings.Cut(place, "?")
	authority, path, _ := strings.Cut(place, "/")
	return strings.Count(authority, "@") > 1 || strings.Contains(path, "@")
}

// quoted matches what an error quotes.
var quoted = regexp.MustCompile(`"[^"]*"?`)

// unparsable returns an error that says what is wrong with a URL that pgx cannot parse, and quotes no part of it: if the URL is
// malformed, any part may be the password.
func unparsable(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	return oneLine(&wrapped{"cannot parse the URL: " + quoted.ReplaceAllString(text, `"…"`), err})
}

// oneLine returns err with a text of one line, as it is shown to whoever starts the program.
func oneLine(err error) error {
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", " ")), " ")
	return &wrapped{text, err}
}

// wrapped is an error with another text.
type wrapped struct {
	text string
	err  error
}

func (w *wrapped) Error() string { return w.text }
func (w *wrapped) Unwrap() error { return w.err }

// awaitPostgres tries to connect until it succeeds, or for as long as wait, or until PostgreSQL gives an answer that will not change.
func awaitPostgres(ctx context.Context, pool *pgxpool.Pool, wait time.Duration) error {
	until := time.Now().Add(wait)
	for {
		attempt, cancel := context.WithTimeout(ctx, postgresTimeout)
		err := pool.Ping(attempt)
		cancel()
		if err == nil {
			return nil
		}
		var answer *pgconn.PgError
		if errors.As(err, &answer) {
			switch answer.Code {
			case "28000", "28P01", "3D000": // not allowed, wrong password, no such database
				return err
			}
		}
		if ctx.Err() != nil || time.Until(until) <= 0 {
			config := pool.Config().ConnConfig
			return fmt.Errorf("PostgreSQL at %s cannot be reached: %w", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(250*time.Millisecond, time.Until(until))):
		}
	}
}

// migratePostgres brings the schema up to date. Nodes that start together do it one after the other.
func migratePostgres(ctx context.Context, pool *pgxpool.Pool) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	return migrate(ctx, db, goose.DialectPostgres, "postgres", goose.WithSessionLocker(locker))
}

// bound bounds ctx by the time that an operation may take.
func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, postgresTimeout)
}

// Ping implements rooms.Store.
func (s *postgresStore) Ping(ctx context.Context) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	var readOnly string
	if err := s.pool.QueryRow(ctx, `SHOW transaction_read_only`).Scan(&readOnly); err != nil {
		return err
	}
	if readOnly != "off" {
		return errors.New("PostgreSQL is read-only")
	}
	return nil
}

// Close implements rooms.Store. It takes about twice closeWait at most. If PostgreSQL does not answer, its connections are left to
// time out, and whether the last messages were stored is not known.
func (s *postgresStore) Close() error {
	hurry := time.AfterFunc(closeWait, s.giveUp)
	first := s.group.close()
	hurry.Stop()
	if !first {
		return nil
	}
	s.giveUp() // nothing is under way
	s.sweeper.stop()
	s.forgetter.stop()
	closed := make(chan struct{})
	go func() { s.pool.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(closeWait):
		s.opts.Failed(errors.New("PostgreSQL does not answer; its connections are left to time out"))
	}
	return nil
}

// exec executes a statement and returns how many rows it changed.
func (s *postgresStore) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}
