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

// Options are what Open may be told besides the URL. The zero value is usable.
type Options struct {
	// BatchCommitted is called after each transaction of appends with how many messages it held, from the goroutine of
	// one of the Append calls, before they return. It must not block.
	BatchCommitted func(messages int)
	// Wait is how long Open waits for PostgreSQL to answer; 0: one attempt.
	Wait time.Duration
	// Tracer follows what is sent to PostgreSQL, in the context of one of those who wait for it. It may be nil, and a
	// pgx.BatchTracer as well.
	Tracer pgx.QueryTracer
	// Failed is called with errors of work that no caller waits for: removing the messages of a deleted room, forgetting
	// refs, checkpoints. The work is tried again later. It must not block.
	Failed func(err error)

	// Tests set these.
	vfs    string // SQLite's file layer, instead of unix-excl
	now    func() time.Time
	bootID func() string // see bootID
}

// Open opens the store that databaseURL names and brings its schema up to date.
//
//	sqlite://PATH        a file, created if need be
//	sqlite://:memory:    in memory, gone on Close
//	postgres://…         a PostgreSQL database, which any number of nodes may share; libpq's URLs
//
// What was appended to a file survives the process, however it ends. A power failure or a crash of the operating system
// may take about the last second of it, and then all rooms have another epoch: ?synchronous=full has every transaction wait
// for the disk instead. While it is open no other process can use the file, not even to read.
//
// The error names what is wrong with an unusable value, in one line and without the password.
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
			return nil, errors.New("unknown scheme: want sqlite or postgres") // no scheme at all; it may hold a password
		}
		return nil, fmt.Errorf("unknown scheme %q: want sqlite or postgres", scheme)
	}
}
