package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// ErrClaimed is returned by OpenClaim when another process has a claim to the database that does not go with this one.
var ErrClaimed = errors.New("another process uses the database")

// ClaimOptions are what OpenClaim is told. The zero value is usable.
type ClaimOptions struct {
	Shared  bool          // with others who say so too: nodes that tell each other what happens
	Wait    time.Duration // how long to wait for those whose claim does not go with this one; 0: one attempt
	Waiting func()        // is called once when it has to wait
	Every   time.Duration // how often to see whether the claim still stands, and to renew it if not; 0: 2 s
	// Lost is called when the claim is lost and cannot be renewed at once, and again when that has another reason than before;
	// Regained when it has been renewed. They must not block.
	Lost     func(error)
	Regained func()
}

// Claim says that a process uses a PostgreSQL database, alone or together with others. It stands for as long as its connection,
// so it ends with the process, however that ends. When the connection is lost, as when PostgreSQL is started anew, the claim is
// renewed, unless another process has come first: that is told, and tried again. The claim keeps a mistake from going unnoticed;
// nothing depends on it.
//
// conn is owned by the goroutine that OpenClaim starts and Close ends.
type Claim struct {
	opts   ClaimOptions
	config *pgx.ConnConfig
	conn   *pgx.Conn // nil: lost
	end    context.CancelFunc
	ended  sync.WaitGroup
}

// OpenClaim claims the database of s, which was opened by Open. It returns ErrClaimed if others use it in a way that does not go
// with this one; any other error means that PostgreSQL could not be asked. Close must be called, before that of s.
func OpenClaim(ctx context.Context, s rooms.Store, opts ClaimOptions) (*Claim, error) {
	db, ok := s.(*postgresStore)
	if !ok {
		return nil, errors.New("only PostgreSQL can be claimed")
	}
	if opts.Every == 0 {
		opts.Every = leaseRenewal
	}
	for _, f := range []*func(){&opts.Waiting, &opts.Regained} {
		if *f == nil {
			*f = func() {}
		}
	}
	if opts.Lost == nil {
		opts.Lost = func(error) {}
	}
	c := &Claim{opts: opts, config: db.pool.Config().ConnConfig}
	c.config.Tracer = nil
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	ctx, c.end = context.WithCancel(context.Background())
	c.ended.Go(func() { c.keep(ctx) })
	return c, nil
}

// wait claims the database as soon as others let it, for as long as may be.
func (c *Claim) wait(ctx context.Context) error {
	until := time.Now().Add(c.opts.Wait)
	for waits := false; ; waits = true {
		err := c.claim(ctx)
		if !errors.Is(err, ErrClaimed) || time.Until(until) <= 0 {
			return err
		}
		if !waits {
			c.opts.Waiting()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(claimRetry, time.Until(until))):
		}
	}
}

const (
	claimRetry = 100 * time.Millisecond
	// The lock is the database's own: its number means something to this program only. A connection whose other end has gone
	// without a word is ended after some 20 s, as otherwise the claim would stand for two hours.
	sqlClaim = `SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
	set_config('tcp_keepalives_count', '2', false), CASE WHEN $1 THEN pg_try_advisory_lock_shared($2) ELSE pg_try_advisory_lock($2) END`
	claimNumber = int64(0x7472616365726f6f)
)

// claim tries once. It has a connection then if it succeeds.
func (c *Claim) claim(ctx context.Context) error {
	ctx, cancel := bound(ctx)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c.config)
	if err != nil {
		return err
	}
	var claimed bool
	if err = conn.QueryRow(ctx, sqlClaim, c.opts.Shared, claimNumber).Scan(nil, nil, nil, &claimed); err == nil && !claimed {
		err = ErrClaimed
	}
	if err != nil {
		_ = conn.Close(ctx)
		return err
	}
	c.conn = conn
	return nil
}

// keep sees to it that the claim stands, until Close.
func (c *Claim) keep(ctx context.Context) {
	tick := time.NewTicker(c.opts.Every)
	defer tick.Stop()
	var told error // what Lost was told last
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			c.drop()
			return
		case <-tick.C:
		}
		err := c.renew(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			if told != nil {
				c.opts.Regained()
			}
			failures, told = 0, nil
		// The lock that went with a connection may be there for a moment longer.
		case failures == 0:
			failures++
		case told == nil || errors.Is(err, ErrClaimed) != errors.Is(told, ErrClaimed):
			told = err
			c.opts.Lost(err)
		}
	}
}

// renew looks whether the claim stands, and claims the database anew if not.
func (c *Claim) renew(ctx context.Context) error {
	if c.conn != nil {
		bounded, cancel := bound(ctx)
		err := c.conn.Ping(bounded)
		cancel()
		if err == nil {
			return nil
		}
		c.drop()
	}
	return c.claim(ctx)
}

// drop ends the connection.
func (c *Claim) drop() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	_ = c.conn.Close(ctx) // it is closed even if PostgreSQL cannot be told
	c.conn = nil
}

// Close gives the claim up.
func (c *Claim) Close() {
	c.end()
	c.ended.Wait()
}
