package rooms

import "context"

// Store keeps rooms, messages and users. All methods may be called from any goroutine. An error has CodeNotFound if something does
// not exist, and CodeConflict if something is taken; any other error means that the store could not do it now. Package
// store/storetest holds the conformance tests that every implementation passes.
type Store interface {
	// CreateRoom stores room (ID, Name, CreatedAt). If the id exists, it returns that room unchanged, and false.
	CreateRoom(ctx context.Context, room Room) (Room, bool, error)
	Room(ctx context.Context, id string) (Room, error)
	// Rooms lists all rooms, by creation time, then id.
	Rooms(ctx context.Context) ([]Room, error)
	// DeleteRoom deletes the room and its messages. It returns the generation of the deleted room.
	DeleteRoom(ctx context.Context, id string) (generation int64, err error)
	// Heads returns how far the rooms with these ids have come, without those that do not exist, and how many rooms
	// there are in all.
	Heads(ctx context.Context, ids []string) (heads map[string]Head, rooms int, err error)

	// Append makes the drafts durable in their order, all or none, and writes to each Message the room's generation, the next
	// sequence number and a new id. Calls for one room must not overlap on a node; calls for different rooms that come together
	// share a transaction. CodeNotFound if the room does not exist. Once Append has returned nil, the messages survive the
	// end of the process, however it ends.
	//
	// A draft is a repetition if its client has sent a message with the same Ref to the room less than RefAge ago, on any node or
	// earlier in drafts. It is not stored: its Message becomes that earlier message, and Repeated is set. If the earlier
	// message has been deleted, Message keeps the draft's text.
	Append(ctx context.Context, roomID string, drafts []Draft) error
	// After returns the messages with a sequence number above seq, oldest first, as many as most allows; deleted messages are
	// left out. more reports that others follow. A room that does not exist has no messages.
	After(ctx context.Context, roomID string, seq int64, most ReadLimit) (messages []*Message, more bool, err error)
	// Newest is After for the newest messages above seq, of which there may be as many as newest says: it returns the first of them,
	// as many as most allows.
	Newest(ctx context.Context, roomID string, seq int64, newest int, most ReadLimit) (messages []*Message, more bool, err error)
	Message(ctx context.Context, id string) (*Message, error)
	// Sent returns the message that another message of this client with this ref would be a repetition of.
	Sent(ctx context.Context, roomID, clientID, ref string) (*Message, error)
	// DeleteMessage deletes the message. Its sequence number stays taken.
	DeleteMessage(ctx context.Context, id string) error

	UserStore

	// Ping reports whether the store can read and write now.
	Ping(ctx context.Context) error
	// Close waits for calls that are under way, but not for ever, and releases the store. No other call may follow.
	Close() error
}

// ReadLimit bounds what is read at once. One message is read however long it is.
type ReadLimit struct {
	Messages int
	Bytes    int // of their text; 0: no bound
}

// Head is how far a room has come: the number of its newest message, deleted or not.
type Head struct {
	Generation int64
	LastSeq    int64
}

// Draft is a message to be stored. Ctx is the context of the operation that sends this message: one Append serves many operations,
// so its own context cannot stand for them.
type Draft struct {
	Ctx      context.Context
	Message  *Message
	Ref      string // the client's own name for the message; empty: none
	Repeated bool   // written by Append
}
