package rooms

import "context"

// Relay tells all nodes of a room's events. It is a hint, the Store is the truth: an event may come late, twice or
// never, and a Room fills what it missed from the store. Methods may be called from any goroutine at once.
type Relay interface {
	// Publish hands ev to the handlers of its room on every node. This node's are called before Publish returns,
	// whether or not the other nodes could be told; an error says that they could not.
	Publish(ctx context.Context, ev *Event) error
	// Subscribe has handle called with every event of the room until cancel is called. handle must not block. ctx is
	// the publisher's on the same node; from another node it carries nothing but what a wrapper restores from
	// ev.Trace. A call that is under way when cancel is called may still come.
	Subscribe(ctx context.Context, roomID string, handle func(ctx context.Context, ev *Event)) (cancel func(), err error)
	// Close ends all subscriptions.
	Close() error
}
