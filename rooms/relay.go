package rooms

import "context"

// Relay passes a room's events to all nodes. It may pass an event on late, twice or never: rooms read from the Store what they
// missed. All methods may be called from any goroutine.
type Relay interface {
	// Publish hands ev to the handlers of its room on every node. It calls this node's before it returns, in any case; an error
	// means that ev could not be sent to other nodes.
	Publish(ctx context.Context, ev *Event) error
	// Subscribe has handle called with every event of the room until cancel is called; a call that is under way then may still
	// come. handle must not block. Its ctx is that of the publisher if that is on this node; for events of other nodes it carries
	// nothing but what a wrapper restores from ev.Trace.
	Subscribe(ctx context.Context, roomID string, handle func(ctx context.Context, ev *Event)) (cancel func(), err error)
	// Close ends all subscriptions.
	Close() error
}
