package rooms

import (
	"context"
	"time"
)

// Service is all that a transport may ask of the rooms. Hub implements it. All methods may be called from any goroutine. Errors
// are *Error (see AsError).
type Service interface {
	// CreateRoom creates a room. If the id exists, it returns that room unchanged, and false. An empty id is a new UUID, an empty
	// name the id. CodeLimit if the server has as many rooms as it may have.
	CreateRoom(ctx context.Context, id, name string) (Room, bool, error)
	Room(ctx context.Context, id string) (Room, error)
	// Rooms lists all rooms, by creation time, then id.
	Rooms(ctx context.Context) ([]Room, error)
	// DeleteRoom deletes the room and its messages, and tells and removes its members.
	DeleteRoom(ctx context.Context, id string) error

	// Messages returns the first messages that q asks for: at most HistoryPart, and HistoryPartBytes of text.
	Messages(ctx context.Context, roomID string, q Query) (Page, error)
	Message(ctx context.Context, id string) (*Message, error)
	DeleteMessage(ctx context.Context, id string) error
	// PostMessage stores and publishes post, of a registered user, in a room that exists, and waits until that is done.
	// CodeNotFound if the user, the room or the parent does not exist. repeated is as in Send.
	PostMessage(ctx context.Context, post Post) (m *Message, repeated bool, err error)

	UserService

	// Join makes conn a member of the room, which is created if it does not exist, and hands it the history and then every
	// event, with nothing missed or repeated between them. A long history comes in parts, each of which is written before
	// the next is read. Join returns when the last part has been handed over, or when conn's Sink reports that a part will not
	// be written. The end of ctx does not end the wait for the room; if ctx has ended when it is over, nothing happens.
	Join(ctx context.Context, conn *Conn, req Join) (*Member, error)
	// Leave ends the membership and waits until it has ended. Leaving again does nothing. An error means that the rooms were
	// closed meanwhile.
	Leave(ctx context.Context, m *Member) error
	// Send has post stored and published. It returns when post is in the room's queue; while the queue is full, it waits until ctx
	// ends. If it returns an error, done is not called. Otherwise done is called once, from the room's goroutine, when the message
	// has been stored and published, or has failed; it must not block. Posts of one connection keep their order.
	//
	// A post is a repetition if its client has sent one with the same Ref to the room less than RefAge ago. Then m is the message
	// that was stored for that one, nothing else is stored, and only From is told of m, after all that comes before it.
	Send(ctx context.Context, post Post, done func(m *Message, repeated bool, err error)) error
	// Typing tells the room's other members that m's client is typing.
	Typing(ctx context.Context, m *Member) error

	// Ping reports whether messages can be stored now.
	Ping(ctx context.Context) error
}

// Conn is a client's connection. It does not change.
type Conn struct {
	ID        string // unique among all nodes
	Transport string // "websocket" or "socket.io"
	Sink      Sink
}

// Join is a client's request to join a room.
type Join struct {
	RoomID   string
	ClientID string
	Since    *int64 // resume after this sequence number; nil: the client has nothing
	Epoch    string // the room's when the client got Since; empty: not known
}

// Query asks for messages of a room.
type Query struct {
	Since *int64 // those after this sequence number; nil: the newest
	Epoch string // the room's when the client got Since; empty: not known
	Limit int    // the most messages
}

// Page is the answer to a Query.
type Page struct {
	Messages []*Message // oldest first
	Epoch    string     // the room's
	Reset    bool       // Since is of another epoch: these are the newest messages
	More     bool       // others follow the last of these, within the Limit
}

// Post is a message from a client.
type Post struct {
	RoomID    string
	ClientID  string
	Text      string
	IsReply   bool
	ParentID  string
	Ref       string // the client's own name for the message; empty: none
	Transport string
	Received  time.Time    // zero: when Send is called
	Trace     TraceContext // to be stored with the message
	From      *Member      // the sender; nil if no member sent it (REST)
}

// Sink takes what rooms send to one connection. Its methods are called by the rooms' goroutines, also by several at once, and must
// not block.
type Sink interface {
	// Format returns the connection's wire format, always the same. Sinks with equal formats share bytes.
	Format() Format
	// Push queues b behind what was pushed before. It returns false if the queue is full; the room then removes the member. If
	// it returns true, it calls b.Done once, within a bounded time even if the peer reads nothing.
	Push(b *Bundle) bool
	// Removed is called when a room has removed m, a member of this connection. It may be called before the Join that made m
	// has returned.
	Removed(m *Member, why Removal)
}

// Removal is why a room removed a member that had not asked to leave.
type Removal uint8

// Why rooms remove members.
const (
	RemovedSlow    Removal = iota + 1 // its queue was full
	RemovedDeleted                    // the room was deleted
)

// Format encodes events in one wire format. Implementations are comparable, have no state, and may be used from any goroutine.
type Format interface {
	// Transport returns the name under which deliveries are counted.
	Transport() string
	// Append appends ev to dst and returns the result. ref is the event's Ref for the connection that sent it, and empty for all
	// others. A format that does not encode events of this kind returns dst unchanged.
	Append(dst []byte, ev *Event, ref string) []byte
}
