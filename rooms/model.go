package rooms

import "time"

// Limits of what clients may send. Lengths are in characters (Unicode code points) unless they say otherwise.
const (
	MaxIDLength   = 64
	MaxNameLength = 128
	MaxTextLength = 4096
	MaxRefLength  = 64

	// HistoryLength is how many messages a member is shown on joining, and MaxResume the most that it is shown if it
	// resumes after a sequence number; not counting those that are sent meanwhile.
	HistoryLength = 100
	MaxResume     = 1000

	// HistoryPart is the most messages that it is handed at once, and HistoryPartBytes the most bytes of text.
	HistoryPart      = 256
	HistoryPartBytes = 64 << 10

	// RefAge is how long the ref of a message is remembered.
	RefAge = 10 * time.Minute
)

// Room describes a room.
type Room struct {
	ID        string
	Name      string
	CreatedAt time.Time
	// Generation tells rooms with the same id apart: a room that is created anew after its deletion has a higher one. The
	// Store assigns it, from 1.
	Generation int64
	// Epoch says what the sequence numbers mean: as long as it is the same, a number stands for the same message. Every other
	// room has another epoch, as has an earlier room with this id, and this room before a power failure in which it may have lost
	// its newest messages. The Store assigns it: 1 to 32 of a-z 0-9 . and -
	Epoch        string
	LastSeq      int64 // number of the newest message ever stored, deleted or not; 0 in a new room
	Messages     int   // messages that are stored and not deleted
	Participants int   // clients, not connections; filled in by Service, a Store leaves it 0
}

// Message is a message in a room. Once stored it does not change: every connection is handed the same *Message.
type Message struct {
	ID         string // a UUID that sorts by time; the Store assigns it
	RoomID     string
	Generation int64  // of the room
	Seq        int64  // its place in the room: 1, 2, 3, … with gaps only where messages were deleted
	ClientID   string // who sent it
	Text       string
	IsReply    bool
	ParentID   string // empty: none
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Trace      TraceContext
}

// TraceContext is the W3C trace context (https://www.w3.org/TR/trace-context/) that travels with a message, in its
// textual form. This package carries it and does not look inside.
type TraceContext struct {
	Parent string // traceparent
	State  string // tracestate
}

// EventKind is what an Event tells.
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

// String returns the name that clients know the kind by.
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

// Event is what a room tells its members. Once published it does not change.
type Event struct {
	Kind         EventKind
	RoomID       string
	Generation   int64      // of the room; 0: of whichever room has the id
	ClientID     string     // the client that it is about
	Participants int        // EventJoined, EventLeft: clients in the room after it
	Turn         int64      // EventJoined, EventLeft: counts the changes of the room's participants, on all nodes; 0: not counted
	Message      *Message   // EventMessage
	History      []*Message // EventHistory, oldest first
	Truncated    bool       // EventHistory: there were more than MaxResume
	Epoch        string     // EventHistory: the room's
	Reset        bool       // EventHistory: it does not continue what the client has, which is of another epoch
	More         bool       // EventHistory: the history goes on in another event
	Trace        TraceContext

	// Transport names what the event came in by ("websocket", "socket.io", "http"); Received is when it did, by this
	// node's clock.
	Transport string
	Received  time.Time
	// Relayed is when another node published the event, by that node's clock; zero for this node's own.
	Relayed time.Time

	// Ref is the sender's own name for the message; only the connection that sent it is told. Empty: none.
	Ref string
	// from is the member that sent the message; nil if no member of this node did.
	from *Member
}
