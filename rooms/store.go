package rooms

import "context"

// Store keeps rooms, messages and users. All methods may be called from any goroutine at once. What does not exist is
// an error with CodeNotFound, what is taken one with CodeConflict; any other error means that the store could not do
// it now. package store/storetest holds the conformance tests that every implementation passes.
type Store interface {
	// CreateRoom stores room (ID, Name, CreatedAt). If the id exists it returns that room as it is, and false.
	CreateRoom(ctx context.Context, room Room) (Room, bool, error)
	Room(ctx context.Context, id string) (Room, error)
	// Rooms lists all rooms, by creation time, then id.
	Rooms(ctx context.Context) ([]Room, error)
	// DeleteRoom deletes the room and its messages, and says which generation it was.
	DeleteRoom(ctx context.Context, id string) (generation int64, err error)
	// Heads says how far the rooms with these ids have come, leaving out those that do not exist, and how many rooms
	// there are in all.
	Heads(ctx context.Context, ids []string) (heads map[string]Head, rooms int, err error)

	// Append makes the drafts durable, all or none, in their order, and writes the room's generation, its next sequence
	// numbers and new ids to them. Calls for one room must not overlap on a node; calls for different rooms that arrive together share
	// a transaction. CodeNotFound if the room does not exist. When Append has returned nil, the messages survive the
	// process.
	//
	// A draft with a Ref under which the room has had a message of the same client for less than RefAge, on whatever node or
	// before it in drafts, is not stored: its Message becomes that one, and Repeated is set. A message that has been deleted
	// since comes with the draft's text.
	Append(ctx context.Context, roomID string, drafts []Draft) error
	// After returns the messages with a sequence number above seq, oldest first, as many as most allows; deleted ones are
	// left out. more says that there are others behind them. A room that does not exist has none.
	After(ctx context.Context, roomID string, seq int64, most Part) (messages []*Message, more bool, err error)
	// Newest is After for the newest messages above seq alone: the first of them, as many as most allows.
	Newest(ctx context.Context, roomID string, seq int64, newest int, most Part) (messages []*Message, more bool, err error)
	Message(ctx context.Context, id string) (*Message, error)
	// Sent is the message for which Append would take another one of this client with this ref.
	Sent(ctx context.Context, roomID, clientID, ref string) (*Message, error)
	// DeleteMessage deletes the message; its place in the sequence stays taken.
	DeleteMessage(ctx context.Context, id string) error

	// CreateUser stores user; CodeConflict if the handle is taken.
	CreateUser(ctx context.Context, user User) error
	User(ctx context.Context, id string) (User, error)
	// Users lists all users, by creation time, then id.
	Users(ctx context.Context) ([]User, error)
	// DeleteUser deletes the user, whose handle is free again. What the user has said stays.
	DeleteUser(ctx context.Context, id string) error

	// Ping reports whether the store can read and write now.
	Ping(ctx context.Context) error
	// Close waits for what is under way, not for ever where that can hang, and releases the store. No other call may follow.
	Close() error
}

// Part bounds what is read at once. One message is read however long it is.
type Part struct {
	Messages int
	Bytes    int // of their text; 0: no bound
}

// Head is how far a room has come: its newest message, deleted or not.
type Head struct {
	Generation int64
	LastSeq    int64
}

// Draft is a message on its way into the store. Ctx belongs to the operation that wants this one message stored: one
// Append serves many operations, so its own context cannot speak for them.
type Draft struct {
	Ctx      context.Context
	Message  *Message
	Ref      string // the client's own name for the message; empty: none
	Repeated bool   // written by Append
}
