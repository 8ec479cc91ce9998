package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
)

// claimDatabase makes sure that all nodes that share the database use NATS: without it they would learn of each other's events
// late, or not at all.
func (n *node) claimDatabase(ctx context.Context, db rooms.Store, wait time.Duration) error {
	claim, err := store.OpenClaim(ctx, db, store.ClaimOptions{
		Shared: n.config.NATS != "", Wait: wait,
		Waiting: func() {
			n.log.Warn("another process uses the database, and one of the two has no --nats: waiting for it to end")
		},
		Lost: func(err error) {
			if errors.Is(err, store.ErrClaimed) {
				n.log.Error("another process uses the database, and one of the two has no --nats: messages reach the other one late", zap.Error(err))
			} else {
				n.log.Warn("the claim on the database is lost until PostgreSQL can be reached", zap.Error(err))
			}
		},
		Regained: func() { n.log.Info("the claim on the database is restored") },
	})
	if errors.Is(err, store.ErrClaimed) {
		return &unusableError{
			"database", "DATABASE_URL", redacted(n.config.Database),
			"a database that no other process uses, unless all of them have --nats (NATS_URL) to reach each other", err,
		}
	}
	if err != nil {
		return fmt.Errorf("claiming the database: %w", err)
	}
	n.claim = claim
	return nil
}

// join makes this node one of those that share the database. It returns the relay to the others.
func (n *node) join(ctx context.Context, db rooms.Store, wait time.Duration) (rooms.Relay, error) {
	name := nodeName()
	presence, err := store.OpenPresence(ctx, db, store.PresenceOptions{
		Node:   name,
		Failed: func(err error) { n.log.Error("keeping track of who is in which room", zap.Error(err)) },
	})
	if err != nil {
		return nil, fmt.Errorf("joining the other nodes: %w", err)
	}
	n.presence = presence
	space, err := presence.Space(ctx)
	if err != nil {
		return nil, fmt.Errorf("joining the other nodes: %w", err)
	}
	others, err := relay.OpenNATS(ctx, relay.NATSOptions{
		URL: n.config.NATS, Space: space, Node: name, Wait: wait,
		Lost: func(err error) {
			n.telemetry.RelayLost()
			n.log.Warn("the connection to NATS is lost", zap.Error(err))
		},
		Regained: func(dropped bool) {
			if !dropped {
				n.telemetry.RelayRegained()
				n.log.Info("the connection to NATS is restored")
			}
			if hub := n.hub.Load(); hub != nil {
				hub.CatchUp()
			}
		},
		Failed: func(error) { n.telemetry.RelayFailed() },
	})
	if err != nil {
		return nil, &unusableError{"nats", "NATS_URL", redacted(n.config.NATS), "nats://HOST:PORT of a running server", err}
	}
	return others, nil
}

// nodeName returns a name for this node that means something to people who look into the database or NATS.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}
