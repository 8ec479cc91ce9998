package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// Options are optional: the zero value is usable. The callbacks may be called from any goroutine, and must not block.
type Options struct {
	// BatchCommitted is called after each transaction of appends with the number of its messages, before the calls of Append
	// return.
	BatchCommitted func(messages int)
	// Wait is how long Open waits for PostgreSQL to answer; 0: one attempt.
	Wait time.Duration
	// Tracer is called for each query that is sent to PostgreSQL, with the context of one of the callers that wait for it. It may
	// implement pgx.BatchTracer as well. nil: none.
	Tracer pgx.QueryTracer
	// Failed is called with errors of work that no caller waits for: removing the messages of deleted rooms, removing old refs,
	// checkpoints. The work is tried again later.
	Failed func(err error)

	// Set by tests.
	vfs    string // SQLite's file layer; empty: unix-excl
	now    func() time.Time
	bootID func() string
}

// Open opens the store that databaseURL names, and brings its schema up to date.
//
//	sqlite://PATH        a file, created if it does not exist
//	sqlite://:memory:    in memory, gone after Close
//	postgres://…         a PostgreSQL database, which any number of nodes may share; a URL as libpq takes it
//
// Messages in a file survive the end of the process, however it ends. In a power failure or a crash of the operating system those
// of about the last second may be lost; all rooms have another epoch then. With ?synchronous=full every transaction waits for the
// disk instead, and nothing is lost. While a file is open, no other process can use it, not even to read.
//
// If databaseURL cannot be used, the error says why, in one line and without the password.
func Open(ctx context.Context, databaseURL string, opts Options) (rooms.Store, error) {
	if opts.BatchCommitted == nil {
		opts.BatchCommitted = func(int) {}
	}
	if opts.Failed == nil {
		opts.Failed = func(error) {}
	}
	if opts.now == nil {
		opts.now = time.Now
	}
	if opts.bootID == nil {
		opts.bootID = bootID
	}
	scheme, rest, ok := strings.Cut(databaseURL, "://")
	if !ok {
		return nil, errors.New("want sqlite://PATH, sqlite://:memory: or postgres://USER@HOST/DATABASE")
	}
	switch scheme {
	case "sqlite":
		path, query, _ := strings.Cut(rest, "?")
		params, err := url.ParseQuery(query)
		if err != nil {
			return nil, fmt.Errorf("the part after ? is malformed: %w", err)
		}
		return openSQLite(ctx, path, params, opts)
	case "postgres", "postgresql":
		return openPostgres(ctx, databaseURL, opts)
	default:
		if strings.ContainsFunc(scheme, func(r rune) bool { return r < 'a' || r > 'z' }) {
			return nil, errors.New("unknown scheme: want sqlite or postgres") // it is no scheme at all, and may be a password
		}
		return nil, fmt.Errorf("unknown scheme %q: want sqlite or postgres", scheme)
	}
}
