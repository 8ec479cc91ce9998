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

// claimDatabase sees to it that nodes that share a database all tell each other what happens: without NATS they would hear each
// other late, or not at all.
func (n *node) claimDatabase(ctx context.Context, db rooms.Store, wait time.Duration) error {
	claim, err := store.OpenClaim(ctx, db, store.ClaimOptions{
		Shared: n.config.NATS != "", Wait: wait,
		Waiting: func() {
			n.log.Warn("another process uses the database, and not both have --nats: waiting for it to end")
		},
		Lost: func(err error) {
			if errors.Is(err, store.ErrClaimed) {
				n.log.Error("another process uses the database, and not both have --nats: they hear each other late", zap.Error(err))
			} else {
				n.log.Warn("the claim to the database is lost until PostgreSQL can be reached", zap.Error(err))
			}
		},
		Regained: func() { n.log.Info("the claim to the database stands again") },
	})
	if errors.Is(err, store.ErrClaimed) {
		return &unusableError{
			"database", "DATABASE_URL", redacted(n.config.Database),
			"a database that no other process uses, unless all of them have --nats (NATS_URL) to reach each other by", err,
		}
	}
	if err != nil {
		return fmt.Errorf("claiming the database: %w", err)
	}
	n.claim = claim
	return nil
}

// join makes this node one of those that share the database. It returns the way to the others.
func (n *node) join(ctx context.Context, db rooms.Store, wait time.Duration) (rooms.Relay, error) {
	name := nodeName()
	presence, err := store.OpenPresence(ctx, db, store.PresenceOptions{
		Node:   name,
		Failed: func(err error) { n.log.Error("who is in which room", zap.Error(err)) },
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
				n.log.Info("the connection to NATS is there again")
			}
			if hub := n.hub.Load(); hub != nil {
				hub.CatchUp()
			}
		},
		Failed: func(error) { n.telemetry.RelayFailed() },
	})
	if err != nil {
		return nil, &unusableError{"nats", "NATS_URL", redacted(n.config.NATS), "nats://HOST:PORT of a server that answers", err}
	}
	return others, nil
}

// nodeName names this node to people who look into the database and NATS.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}
