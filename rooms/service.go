package rooms

import (
	"context"
	"time"
)

// Service is all that a transport may ask of the rooms. Hub implements it. Methods may be called from any goroutine at
// once. Errors are *Error (see AsError).
type Service interface {
	// CreateRoom creates the room, or returns the one that has this id as it is, and false. An empty name is the id.
	CreateRoom(ctx context.Context, id, name string) (Room, bool, error)
	Room(ctx context.Context, id string) (Room, error)
	Rooms(ctx context.Context) ([]Room, error)
	// DeleteRoom deletes the room and its messages, and tells and removes its members.
	DeleteRoom(ctx context.Context, id string) error

	// Messages returns some of a room's messages: no more at once than should be in memory.
	Messages(ctx context.Context, roomID string, q Query) (Page, error)
	Message(ctx context.Context, id string) (*Message, error)
	DeleteMessage(ctx context.Context, id string) error
	// PostMessage stores and publishes post for a registered user in a room that exists and waits for it. Unknown
	// user, room or parent: CodeNotFound. repeated is as in Send.
	PostMessage(ctx context.Context, post Post) (m *Message, repeated bool, err error)

	CreateUser(ctx context.Context, name, handle string) (User, error)
	User(ctx context.Context, id string) (User, error)
	Users(ctx context.Context) ([]User, error)
	// DeleteUser deletes the user, who can post no more. What the user has said stays.
	DeleteUser(ctx context.Context, id string) error

	// Join makes conn a member of the room, which is created if need be, and hands it the history and then every
	// event, with nothing missed or repeated between them. A long history comes in parts, each of which is written before
	// the next is read: Join takes as long as that, or until conn's Sink says that a part will not be written. It waits for its
	// turn whatever becomes of ctx; if ctx has ended by then, nothing happens.
	Join(ctx context.Context, conn *Conn, req Join) (*Member, error)
	// Leave ends the membership. Leaving twice is nothing. It waits until the room has let go of the member; an error says
	// that the rooms were closed meanwhile.
	Leave(ctx context.Context, m *Member) error
	// Send stores post and publishes it. It returns when the post is in the room's line, which may take as long as the
	// line is full; an error then means that done is not called. done is called once, from the room's goroutine, when
	// the message is stored and published or has failed; it must not block. Posts of one connection keep their order.
	//
	// A post is repeated if its client has sent one with the same Ref to the room less than RefAge ago: then m is the message
	// that was stored for that one, nothing else is stored, and From alone is told of m, after all that comes before it.
	Send(ctx context.Context, post Post, done func(m *Message, repeated bool, err error)) error
	// Typing tells the room's other members that m's client is typing.
	Typing(ctx context.Context, m *Member) error

	// Ping reports whether messages can be stored now.
	Ping(ctx context.Context) error
}

// Conn is a client's connection as the rooms see it.
type Conn struct {
	ID        string // unique among all nodes
	Transport string // "websocket" or "socket.io"
	Sink      Sink
}

// Join is what a client asks when it joins.
type Join struct {
	RoomID   string
	ClientID string
	Since    *int64 // resume after this sequence number; nil: the history
	Epoch    string // of the room that Since is about; empty: the client does not say
}

// Query says which messages of a room are wanted.
type Query struct {
	Since *int64 // those after this sequence number; nil: the newest
	Epoch string // of the room that Since is about; empty: the client does not say
	Limit int    // how many at the most
}

// Page is the answer to a Query.
type Page struct {
	Messages []*Message // oldest first
	Epoch    string     // the room's
	Reset    bool       // these are the newest: Since is of another epoch
	More     bool       // there are others, up to the Limit, which follow on the last of these
}

// Post is a message as a client sent it.
type Post struct {
	RoomID    string
	ClientID  string
	Text      string
	IsReply   bool
	ParentID  string
	Ref       string // names the message among those of its client; empty: none
	Transport string
	Received  time.Time    // zero: when Send is called
	Trace     TraceContext // to be stored with the message
	From      *Member      // nil where no member sent it (REST)
}

// Sink takes what rooms say to one connection. Its methods are called by the goroutines that own the rooms and must not
// block.
type Sink interface {
	// Format is how this connection's bytes are made; it stays the same. Sinks with equal formats share bytes.
	Format() Format
	// Push queues b behind what was pushed before. False: the queue is full; the room then removes the member. If it
	// returned true, b.Done is called once, and in a bounded time even if the peer takes nothing.
	Push(b *Bundle) bool
	// Removed says that the room has removed m, a member of this connection, and why. It may be called before the Join that
	// made m has returned.
	Removed(m *Member, why Removal)
}

// Removal says why a room removed a member that had not asked to leave.
type Removal uint8

// Why members are removed.
const (
	RemovedSlow    Removal = iota + 1 // its queue was full
	RemovedDeleted                    // the room was deleted
)

// Format encodes events for one wire format. Implementations are comparable, stateless and safe for concurrent use.
type Format interface {
	// Transport is the name under which deliveries are counted.
	Transport() string
	// Append appends the event as this format has it to dst. ref is not empty for the connection that sent it. A format
	// that has no form for the event returns dst as it was.
	Append(dst []byte, ev *Event, ref string) []byte
}
