package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/traceroom/traceroom/rooms"
)

// ErrClaimed is returned by OpenClaim when another process has a claim to the database that excludes this one.
var ErrClaimed = errors.New("another process uses the database")

// ClaimOptions are optional: the zero value is usable. The callbacks are called by one goroutine at a time, and must not block.
type ClaimOptions struct {
	Shared  bool          // allows other shared claims: of nodes that tell each other of their events
	Wait    time.Duration // how long to wait for claims that exclude this one; 0: one attempt
	Waiting func()        // called once if it has to wait
	Every   time.Duration // how often the claim is checked, and renewed if it was lost; 0: 2 s
	// Lost is called when the claim was lost and could not be renewed at once, and again when the reason changes. Regained is called
	// when it has been renewed after that.
	Lost     func(error)
	Regained func()
}

// Claim marks a PostgreSQL database as used by this process, alone or shared. It exists as long as its connection, so it ends with
// the process, however that ends. If the connection is lost, as when PostgreSQL restarts, the claim is renewed; if another process
// has come first, that is reported, and tried again. A claim makes a wrong configuration visible; nothing else depends on it.
//
// conn belongs to the goroutine that OpenClaim starts and Close ends.
type Claim struct {
	opts   ClaimOptions
	config *pgx.ConnConfig
	conn   *pgx.Conn // nil: lost
	end    context.CancelFunc
	ended  sync.WaitGroup
}

// OpenClaim claims the database of s, which was opened by Open. It returns ErrClaimed if another process has a claim that excludes
// this one; any other error means that PostgreSQL could not be asked. Close must be called, before s is closed.
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
	c.ended.Go(func() { c.run(ctx) })
	return c, nil
}

// wait tries to claim the database until it succeeds, or for as long as Wait.
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
	// An advisory lock belongs to one database; its number means something to this program only. With these settings PostgreSQL
	// ends a connection whose other end has disappeared after some 20 s, instead of two hours.
	sqlClaim = `SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
	set_config('tcp_keepalives_count', '2', false), CASE WHEN $1 THEN pg_try_advisory_lock_shared($2) ELSE pg_try_advisory_lock($2) END`
	claimNumber = int64(0x7472616365726f6f)
)

// claim tries once to claim the database. If it succeeds, it has set conn.
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

// run checks and renews the claim until Close.
func (c *Claim) run(ctx context.Context) {
	tick := time.NewTicker(c.opts.Every)
	defer tick.Stop()
	var reported error // to Lost; nil: the claim exists
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			c.disconnect()
			return
		case <-tick.C:
		}
		err := c.renew(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			if reported != nil {
				c.opts.Regained()
			}
			failures, reported = 0, nil
		// The lock of a lost connection may exist a moment longer.
		case failures == 0:
			failures++
		case reported == nil || errors.Is(err, ErrClaimed) != errors.Is(reported, ErrClaimed):
			reported = err
			c.opts.Lost(err)
		}
	}
}

// renew checks the claim, and claims the database anew if it was lost.
func (c *Claim) renew(ctx context.Context) error {
	if c.conn != nil {
		bounded, cancel := bound(ctx)
		err := c.conn.Ping(bounded)
		cancel()
		if err == nil {
			return nil
		}
		c.disconnect()
	}
	return c.claim(ctx)
}

// disconnect closes the connection, if there is one.
func (c *Claim) disconnect() {
	if c.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	_ = c.conn.Close(ctx) // it is closed even if PostgreSQL cannot be told
	c.conn = nil
}

// Close ends the claim. It must be called once.
func (c *Claim) Close() {
	c.end()
	c.ended.Wait()
}
