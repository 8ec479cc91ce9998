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
	// postgresTurns how many of them append.
	postgresConns = 16
	postgresTurns = 4
	// closePatience is how long Close waits for the appends that are under way, and then for the connections to close.
	closePatience = 500 * time.Millisecond
)

// postgresStore is rooms.Store on PostgreSQL. Any number of nodes may share a database: a room's sequence numbers are
// given out under the lock of its row, which is held until the commit, so that they become visible in their order.
//
// Each append is one round trip, whatever it takes: no lock is held while PostgreSQL waits for a node, and a node that
// stalls stalls no other.
//
// Lock order in the database: rooms in the order of their ids, then messages.
type postgresStore struct {
	*group
	numbering
	opts      Options
	pool      *pgxpool.Pool
	sweeper   *background
	forgetter *background

	appending context.Context // ends when Close gives up the appends that are under way
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
		// Messages are read along their key. Where most rooms are small, PostgreSQL expects to find few in a large one as
		// well, and would rather read and sort them all.
		"enable_sort": "off",
	} {
		if config.ConnConfig.RuntimeParams[name] == "" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	config.ConnConfig.Tracer = opts.Tracer
	// A commit that is answered is on the disk, whatever the server's configuration says.
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
	if err := pool.QueryRow(ctx, `SELECT left(id, 8) || '.' FROM cluster`).Scan(&s.numbering); err != nil {
		return nil, oneLine(err)
	}
	s.group = newGroup(min(postgresTurns, max(1, int(config.MaxConns)/2)), s.commit)
	s.sweeper = startBackground(0, s.sweep, opts.Failed)
	s.forgetter = startBackground(forgetEvery, s.forget, opts.Failed)
	s.sweeper.wake() // an earlier process may have left something
	s.forgetter.wake()
	return s, nil
}

// ambiguous reports whether what comes before the parameters has an @ that does not end the user's name and password: a part
// of them would be taken for the host or the database, and be told in errors.
func ambiguous(databaseURL string) bool {
	_, place, _ := strings.Cut(databaseURL, "://")
	place, _, _ = strings.Cut(place, "?")
	authority, path, _ := strings.Cut(place, "/")
	return strings.Count(authority, "@") > 1 || strings.Contains(path, "@")
}

// quoted is what an error quotes of what it is about.
var quoted = regexp.MustCompile(`"[^"]*"?`)

// unparsable says what is wrong with a URL that pgx cannot parse, without quoting it or parts of it: it may be so malformed
// that nobody can tell where the password is.
func unparsable(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "`: "); i >= 0 {
		text = text[i+len("`: "):]
	}
	return oneLine(&wrapped{"cannot parse the URL: " + quoted.ReplaceAllString(text, `"…"`), err})
}

// oneLine makes an error that a start shows its user one line.
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

// awaitPostgres tries to connect until it succeeds, or wait has passed, or an answer says that waiting will not help.
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

// migratePostgres brings the schema up to date; nodes that start together do so one after the other.
func migratePostgres(ctx context.Context, pool *pgxpool.Pool) error {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	return migrate(ctx, db, goose.DialectPostgres, "postgres", goose.WithSessionLocker(locker))
}

// bound gives ctx the time that an operation may take.
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

// Close implements rooms.Store. It takes about twice closePatience at most: a PostgreSQL that does not answer is left as
// it is, and what became of the messages that it was sent is not known.
func (s *postgresStore) Close() error {
	hurry := time.AfterFunc(closePatience, s.giveUp)
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
	case <-time.After(closePatience):
		s.opts.Failed(errors.New("PostgreSQL does not answer; its connections are left to time out"))
	}
	return nil
}

// exec runs a statement and says how many rows it changed.
func (s *postgresStore) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := bound(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, query, args...)
	return tag.RowsAffected(), err
}
