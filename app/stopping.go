package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// Deadlines of the parts of a stopping server, counted from when it begins to stop. Operators kill a process after ten
// seconds. Telemetry and logs come last, in time that the parts before them cannot use up.
const (
	stopConnections = 4500 * time.Millisecond // clients are told, and have read what was queued for them
	stopRooms       = 5000 * time.Millisecond // messages that waited in the rooms are stored
	stopHandlers    = 5600 * time.Millisecond // clients have left their rooms
	stopPresence    = 6000 * time.Millisecond
	stopRelay       = 6700 * time.Millisecond
	stopStore       = 7600 * time.Millisecond
	stopTelemetry   = 8400 * time.Millisecond // spans are exported
	stopTraceLog    = 8900 * time.Millisecond // the trace log is written
	stopLog         = 9300 * time.Millisecond // the program's own log is written
)

// How long PostgreSQL and the collector of traces are waited for at most, even if more time is left: either may be down.
const (
	presenceTimeout = time.Second / 2
	exportTimeout   = 2 * time.Second
)

// partGrace is how long a part may take to return after its context was cancelled.
const partGrace = 250 * time.Millisecond

// stopping ends the parts of a server, each by its deadline. A part that has not ended by then is named in the log and left
// behind, because the process is about to end; that is not an error.
type stopping struct {
	log   *zap.Logger
	began time.Time // zero before the first call of until
}

// until returns a context with the given deadline. Deadlines are counted from the first call.
func (s *stopping) until(by time.Duration) (context.Context, context.CancelFunc) {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	return context.WithDeadline(context.Background(), s.began.Add(by))
}

// part calls end, which ends a part, and waits for it. The context that it passes has the given deadline.
func (s *stopping) part(name string, by time.Duration, end func(context.Context) error) error {
	ctx, cancel := s.until(by)
	defer cancel()
	last, cancelLast := s.until(by + partGrace)
	defer cancelLast()
	ended := make(chan error, 1)
	go func() { ended <- end(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-last.Done():
		s.log.Warn("a part of the server did not end in time; going on without it", zap.String("part", name))
		return nil
	}
}

// drain ends all parts. Clients are told, and all acknowledged messages are stored and delivered.
func (n *node) drain(stop *stopping) (err error) {
	part := func(name string, by time.Duration, end func(context.Context) error) {
		err = errors.Join(err, stop.part(name, by, end))
	}
	drained := make(chan struct{})
	if n.web != nil {
		ctx, cancel := stop.until(stopConnections)
		defer cancel()
		go func() {
			defer close(drained)
			n.web.Drain(ctx)
		}()
		select {
		case <-drained:
		case <-ctx.Done(): // it may be waiting for the rooms, which are closed next
		}
		if n.http.Shutdown(ctx) != nil {
			// The time of requests that are still being answered is over.
			_ = n.http.Close()
		}
	} else if n.http != nil {
		err = n.http.Close()
	}
	if hub := n.hub.Load(); hub != nil {
		part("rooms", stopRooms, func(ctx context.Context) error {
			if hub.Close(ctx) != nil {
				n.log.Warn("the store does not answer: the last messages may not be stored; none of them was acknowledged")
			}
			return nil
		})
	}
	if n.web != nil {
		part("connections", stopHandlers, func(context.Context) error {
			<-drained
			n.web.Close()
			return nil
		})
	}
	if n.presence != nil {
		part("presence", stopPresence, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, presenceTimeout)
			defer cancel()
			if failed := n.presence.Close(ctx); failed != nil {
				n.log.Warn("the other nodes will notice only after a while that this one is gone", zap.Error(failed))
			}
			return nil
		})
	}
	if n.relay != nil {
		part("relay", stopRelay, func(context.Context) error { return n.relay.Close() })
	}
	if n.claim != nil {
		part("claim", stopStore, func(context.Context) error { n.claim.Close(); return nil })
	}
	if n.store != nil {
		part("store", stopStore, func(context.Context) error { return n.store.Close() })
	}
	return err
}
