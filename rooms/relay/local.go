package relay

import (
	"context"
	"slices"
	"sync"

	"github.com/traceroom/traceroom/rooms"
)

// Handler handles the events of a room. It must not block.
type Handler = func(ctx context.Context, ev *rooms.Event)

// Local is the Relay of a single node. The zero value is ready to use. Its methods may be called from any goroutine.
type Local struct {
	mu       sync.RWMutex // guards handlers; never held while a handler runs
	handlers map[string][]*Handler
}

var _ rooms.Relay = (*Local)(nil)

// Publish implements rooms.Relay. The error is nil.
func (l *Local) Publish(ctx context.Context, ev *rooms.Event) error {
	l.mu.RLock()
	handlers := l.handlers[ev.RoomID]
	l.mu.RUnlock()
	for _, h := range handlers {
		(*h)(ctx, ev)
	}
	return nil
}

// Subscribe implements rooms.Relay. The error is nil. A Publish that is under way when cancel is called may still call
// handle.
func (l *Local) Subscribe(_ context.Context, roomID string, handle Handler) (func(), error) {
	h := &handle
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handlers == nil {
		l.handlers = make(map[string][]*Handler)
	}
	// Each change makes a new slice, as Publish reads the old one without the lock.
	l.handlers[roomID] = append(slices.Clone(l.handlers[roomID]), h)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		rest := slices.DeleteFunc(slices.Clone(l.handlers[roomID]), func(o *Handler) bool { return o == h })
		if len(rest) == 0 {
			delete(l.handlers, roomID)
		} else {
			l.handlers[roomID] = rest
		}
	}, nil
}

// Close implements rooms.Relay.
func (l *Local) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handlers = nil
	return nil
}
