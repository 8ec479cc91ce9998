package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
)

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
