package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
)

// By when each part of a stopping server has to have ended, counted from when it begins to stop. Operators kill after ten
// seconds. What is recorded comes last, with time that nothing before it can use up.
const (
	stopConnections = 4500 * time.Millisecond // clients have been told, and have read what was meant for them
	stopRooms       = 5000 * time.Millisecond // what was in the rooms' lines is stored
	stopHandlers    = 5600 * time.Millisecond // clients have left their rooms
	stopPresence    = 6000 * time.Millisecond
	stopRelay       = 6700 * time.Millisecond
	stopStore       = 7600 * time.Millisecond
	stopTelemetry   = 8400 * time.Millisecond // spans are exported
	stopTraceLog    = 8900 * time.Millisecond // the trace log is written
	stopLog         = 9300 * time.Millisecond // the program's own log is written
)

// How long at most PostgreSQL and a collector of traces are waited for, which may be away, however much time
// is left.
const (
	mostPresence  = time.Second / 2
	mostTelemetry = 2 * time.Second
)

// leftBehind is how much longer a part may take to return when its context has ended.
const leftBehind = 250 * time.Millisecond

// stopping ends the parts of a server, each by its time. A part that has not ended by then is left behind, as the process
// is about to end, and named in the log; it is no error of the server's.
type stopping struct {
	log   *zap.Logger
	began time.Time // zero: not yet
}

// until returns a context that ends by the given time. The first call sets the time from which all are counted.
func (s *stopping) until(by time.Duration) (context.Context, context.CancelFunc) {
	if s.began.IsZero() {
		s.began = time.Now()
	}
	return context.WithDeadline(context.Background(), s.began.Add(by))
}

// part has end end a part and waits for it. The context of end ends by the given time.
func (s *stopping) part(name string, by time.Duration, end func(context.Context) error) error {
	ctx, cancel := s.until(by)
	defer cancel()
	last, cancelLast := s.until(by + leftBehind)
	defer cancelLast()
	ended := make(chan error, 1)
	go func() { ended <- end(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-last.Done():
		s.log.Warn("a part of the server did not end in time and is left behind", zap.String("part", name))
		return nil
	}
}

// drain ends all parts: clients are told, what they were promised is stored and written.
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
		case <-ctx.Done(): // the rooms may be what it waits for
		}
		if n.http.Shutdown(ctx) != nil {
			// Requests that are still being answered have had their time.
			_ = n.http.Close()
		}
	} else if n.http != nil {
		err = n.http.Close()
	}
	if hub := n.hub.Load(); hub != nil {
		part("rooms", stopRooms, func(ctx context.Context) error {
			if hub.Close(ctx) != nil {
				n.log.Warn("the store does not answer: what clients said last may not be stored; nobody was told that it is")
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
			ctx, cancel := context.WithTimeout(ctx, mostPresence)
			defer cancel()
			if failed := n.presence.Close(ctx); failed != nil {
				n.log.Warn("the other nodes will take a while to see that this one is gone", zap.Error(failed))
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
