package rooms

import (
	"context"
	"time"
)

// Presence knows which clients are in which rooms on all nodes, and tells when one has come or gone: once per client, on
// whatever nodes its connections are. What a node says of its own clients is applied asynchronously and retried until it
// succeeds; when a node is dead, its clients are removed. All methods may be called from any goroutine.
type Presence interface {
	// Watch has notify called with every change that this node must publish: those of its own clients, and those of clients of dead
	// nodes. It is called once, before Enter. notify must not block.
	Watch(notify func(Change))
	// Enter says that a client's first connection has joined a room on this node, and Exit that its last one has left it. They
	// do not wait. The values of ctx are those of Change.Ctx. The channel that Enter returns is closed when all nodes count
	// the client, or need not any more; nil: they do.
	Enter(ctx context.Context, p Participant) <-chan struct{}
	Exit(ctx context.Context, p Participant)
	// Forget says that the room of this generation was deleted, and nobody is in it any more. It does not wait.
	Forget(generation int64)
	// Fill sets Participants of each room.
	Fill(ctx context.Context, rooms []Room) error
	// Close removes this node's clients and waits until that is done, or ctx ends. It calls notify for them.
	Close(ctx context.Context) error
}

// Participant is a client in a room on one node.
type Participant struct {
	RoomID     string
	Generation int64
	ClientID   string
	Transport  string    // of the connection with which it came or went
	At         time.Time // when it came or went
}

// Change says that a client has come into a room that it was not in on any node, or has gone from it on its last node.
type Change struct {
	Ctx context.Context // has the values of Enter's or Exit's; the background context for clients of dead nodes
	Participant
	Entered      bool
	Participants int   // clients in the room after it
	Turn         int64 // counts the room's changes, on all nodes; 0: notify is called in their order
}

// alone is the Presence of a single node, whose rooms know who is in them. Enter and Exit publish the change before they
// return.
type alone struct{ hub *Hub }

var _ Presence = alone{}

func (alone) Watch(func(Change))          {}
func (alone) Forget(int64)                {}
func (alone) Close(context.Context) error { return nil }

func (a alone) Enter(ctx context.Context, p Participant) <-chan struct{} {
	a.hub.publishChange(Change{Ctx: ctx, Participant: p, Entered: true, Participants: a.hub.participants(p.RoomID)})
	return nil
}

func (a alone) Exit(ctx context.Context, p Participant) {
	a.hub.publishChange(Change{Ctx: ctx, Participant: p, Participants: a.hub.participants(p.RoomID)})
}

func (a alone) Fill(_ context.Context, rooms []Room) error {
	for i := range rooms {
		rooms[i].Participants = a.hub.participants(rooms[i].ID)
	}
	return nil
}
