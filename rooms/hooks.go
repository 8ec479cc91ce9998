package rooms

import (
	"context"
	"time"
)

// Hooks report what a wrapper around Service, Store and Relay cannot see, in the manner of net/http/httptrace. Any may
// be nil. They are called from the goroutines that own rooms and from writers, and must not block.
type Hooks struct {
	// Delivering is called when ev is about to be queued for the room's members on this node. What it returns, if not
	// nil, is called once, when the last member's write has returned.
	Delivering func(ctx context.Context, ev *Event, recipients int) func(Delivered)
	// MemberDropped is called when a member is removed because its queue was full.
	MemberDropped func(ctx context.Context, m *Member)
	// RelayFailed is called when other nodes could not be told of an event.
	RelayFailed func(ctx context.Context, err error)
	// CaughtUp is called when a room has looked in the store for messages that it had not been told of, and found n.
	CaughtUp func(roomID string, n int)
}

// Delivered is the outcome of one event's delivery on one node.
type Delivered struct {
	ByTransport []TransportDelivered
	Slowest     string    // id of the connection whose write returned last; empty where there was none
	Notes       []Notable // at most MaxNotes
}

// TransportDelivered is what one transport's connections got of an event.
type TransportDelivered struct {
	Transport string
	Written   int
	Refused   int       // their queue was full; the room has removed these members
	Lost      int       // their connection ended before it was written to
	Last      time.Time // when the last write returned
}

// MaxNotes bounds how many connections a Delivered names.
const MaxNotes = 16

// Notable names a connection that an event reached late or not at all.
type Notable struct {
	ConnID  string
	Dropped bool
	At      time.Time
}
