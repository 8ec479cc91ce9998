package rooms

import (
	"time"
)

// Limits of what clients may name and say. Lengths of text are in characters (Unicode code points).
const (
	MaxIDLength   = 64
	MaxNameLength = 128
	MaxTextLength = 4096
	MaxRefLength  = 64

	// HistoryLength is how many messages a member is shown on joining, and MaxResume how many at the most when it
	// resumes after a sequence number; besides those that are said meanwhile.
	HistoryLength = 100
	MaxResume     = 1000

	// HistoryPart is how many of them it is handed at once at the most, and HistoryPartBytes the bytes of their text.
	HistoryPart      = 256
	HistoryPartBytes = 64 << 10

	// RefAge is how long a message's ref is remembered.
	RefAge = 10 * time.Minute
)

// Room is a room as it is listed. Participants counts clients, not connections.
type Room struct {
	ID        string
	Name      string
	CreatedAt time.Time
	// Generation tells rooms of one id apart: a room that is created anew after its deletion has a higher one. A Store
	// gives it out, from 1.
	Generation int64
	// Epoch tells a room's numberings apart: as long as it is the same, a sequence number stands for the same message. It
	// differs from that of every other room, of a room that had the id before, and of this one before a power failure that may
	// have taken its newest messages. A Store gives it out: 1 to 32 of a-z 0-9 . and -
	Epoch        string
	LastSeq      int64 // of the newest message ever stored, deleted ones included; 0 in a new room
	Messages     int   // stored and not deleted
	Participants int   // filled in by Service; a Store leaves it 0
}

// User is a registered author. Handle is unique.
type User struct {
	ID        string
	Name      string
	Handle    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Message is one thing said in a room. Once stored it is immutable: every connection is handed the same *Message.
type Message struct {
	ID         string // a UUID that sorts by time; the Store gives it
	RoomID     string
	Generation int64 // of the room that it was said in
	Seq        int64 // 1 for a room's first message; without a gap but for deleted messages
	ClientID   string
	Text       string
	IsReply    bool
	ParentID   string // empty: none
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Trace      TraceContext
}

// TraceContext is the W3C trace context (https://www.w3.org/TR/trace-context/) that travels with a message, in its
// textual form. The domain carries it and never looks inside.
type TraceContext struct {
	Parent string // traceparent
	State  string // tracestate
}

// EventKind says what an Event tells.
type EventKind uint8

// What a room tells its members.
const (
	EventMessage EventKind = iota + 1
	EventTyping
	EventJoined
	EventLeft
	EventRoomDeleted
	EventHistory
)

// String is the kind as the clients name it.
func (k EventKind) String() string {
	switch k {
	case EventMessage:
		return "message"
	case EventTyping:
		return "typing"
	case EventJoined:
		return "user_joined"
	case EventLeft:
		return "user_left"
	case EventRoomDeleted:
		return "room_deleted"
	case EventHistory:
		return "history"
	default:
		return "unknown"
	}
}

// Event is what a room tells its members. Once published it is immutable.
type Event struct {
	Kind         EventKind
	RoomID       string
	Generation   int64      // of the room it is about; 0: of whatever room has the id
	ClientID     string     // whom it is about
	Participants int        // EventJoined, EventLeft: clients in the room after it
	Turn         int64      // EventJoined, EventLeft: which change of the room's participants it was, on all nodes; 0: not said
	Message      *Message   // EventMessage
	History      []*Message // EventHistory, oldest first
	Truncated    bool       // EventHistory: there were more than MaxResume
	Epoch        string     // EventHistory: the room's
	Reset        bool       // EventHistory: it does not follow on what the client has, which is of another epoch
	More         bool       // EventHistory: another follows on it
	Trace        TraceContext

	// Transport names what brought the event ("websocket", "socket.io", "http") and Received when, by this node's clock.
	Transport string
	Received  time.Time
	// Relayed is when another node published the event, by that node's clock; zero for this node's own.
	Relayed time.Time

	// Ref is the sender's own name for the message; only the connection that sent it is told.
	Ref string
	// from is the member that Ref is for; nil where the event came from another node.
	from *Member
}
