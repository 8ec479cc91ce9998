package rooms

import (
	"context"
	"time"
)

// Presence knows which clients are in which rooms on all nodes, and says when one has come or gone: once for a client,
// wherever its connections are. What a node says of its own clients takes effect soon, however long that takes, and what
// a node that is no more has said is taken back. Methods may be called from any goroutine at once.
type Presence interface {
	// Watch has told called with every change that this node is to tell the rooms of: its own clients' and those of
	// nodes that are no more. It is called once, before Enter. told must not block.
	Watch(told func(Change))
	// Enter says that a client has got its first connection into a room on this node, and Exit that it has lost its
	// last. They do not wait. ctx is for the values that told gets to see. What Enter returns is closed when all nodes
	// count the client, or need not any more; nil: they do.
	Enter(ctx context.Context, p Participant) <-chan struct{}
	Exit(ctx context.Context, p Participant)
	// Forget says that a room was deleted, and with it who was in it. It does not wait.
	Forget(generation int64)
	// Fill sets the participants of rooms.
	Fill(ctx context.Context, rooms []Room) error
	// Close takes back what this node has said and waits for it, or until ctx ends. told is called as always.
	Close(ctx context.Context) error
}

// Participant is a client in a room on one node.
type Participant struct {
	RoomID     string
	Generation int64
	ClientID   string
	Transport  string    // of the connection that it came or went by
	At         time.Time // when it did
}

// Change is a client that has come into a room, being on no node before, or has gone from its last.
type Change struct {
	Ctx context.Context // of Enter or Exit; a background context where a node is no more
	Participant
	Entered      bool
	Participants int   // clients in the room after it
	Turn         int64 // orders the changes of one room, on all nodes; 0: they come in order
}

// alone is the Presence of a single node: the rooms themselves know who is in them. It tells of a change before Enter or
// Exit return.
type alone struct{ hub *Hub }

var _ Presence = alone{}

func (alone) Watch(func(Change))          {}
func (alone) Forget(int64)                {}
func (alone) Close(context.Context) error { return nil }

func (a alone) Enter(ctx context.Context, p Participant) <-chan struct{} {
	a.hub.changed(Change{Ctx: ctx, Participant: p, Entered: true, Participants: a.hub.participants(p.RoomID)})
	return nil
}

func (a alone) Exit(ctx context.Context, p Participant) {
	a.hub.changed(Change{Ctx: ctx, Participant: p, Participants: a.hub.participants(p.RoomID)})
}

func (a alone) Fill(_ context.Context, rooms []Room) error {
	for i := range rooms {
		rooms[i].Participants = a.hub.participants(rooms[i].ID)
	}
	return nil
}
