package rooms

import (
	"context"
	"time"
)

// Hooks report what a wrapper around Service, Store and Relay cannot see, in the manner of net/http/httptrace. Any may
// be nil. They may be called from several goroutines at once, and must not block.
type Hooks struct {
	// Delivering is called before ev is queued for the room's members on this node. The function that it returns, if not nil, is
	// called once, when the last member's write has returned.
	Delivering func(ctx context.Context, ev *Event, recipients int) func(Delivered)
	// RelayFailed is called when an event could not be sent to other nodes.
	RelayFailed func(ctx context.Context, err error)
	// CaughtUp is called when a room has read messages from the store that it had not been told of: n of them, which may be 0.
	CaughtUp func(roomID string, n int)
}

// Delivered is the outcome of one event's delivery on one node.
type Delivered struct {
	ByTransport []TransportDelivered
	Slowest     string    // id of the connection whose write returned last; empty where there was none
	Notes       []Notable // at most MaxNotes
}

// TransportDelivered is the outcome of an event's delivery for the connections of one transport, in numbers of members.
type TransportDelivered struct {
	Transport string
	Written   int
	Refused   int       // whose queue was full; the room has removed them
	Lost      int       // whose connection ended before the write
	Last      time.Time // when the last write returned
}

// MaxNotes is the most connections that a Delivered names.
const MaxNotes = 16

// Notable names a connection that an event reached late, or not at all.
type Notable struct {
	ConnID  string
	Dropped bool      // not at all
	At      time.Time // when that was found out
}
