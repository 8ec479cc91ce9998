package load

import "time"

// Dialect is what a member speaks.
type Dialect string

// The dialects.
const (
	Bare     Dialect = "bare"     // /ws, one room, a message is its text: the floor, gorilla's chat example
	Chat     Dialect = "chat"     // /ws/{room}/{client}, JSON: Traceroom
	ChatRefs Dialect = "chatrefs" // Chat with a ref in every message
	SocketIO Dialect = "socketio" // Traceroom's Socket.IO, which only listens
	NodeIO   Dialect = "nodeio"   // the Node peer's Socket.IO, which also sends
)

// Ack says when a message leaves its sender's window.
type Ack string

// When a message leaves the window.
const (
	AckAll  Ack = "all"  // all members have it
	AckEcho Ack = "echo" // its sender has it
)

// Plan is what one run does. Exactly one of the scenarios below Rooms is used, as Do says.
type Plan struct {
	Do        string // "fanout", "idle", "history" or "churn"
	Addr      string // host:port of the server, IPv4
	ServerPID int
	// CollectorPID is the process that the server sends its spans to; only to tell its CPU time from that of others.
	CollectorPID int
	// More are further nodes of the same server: the members of every room are dealt out over all. Their CPU time counts
	// as the server's.
	More []Server `json:",omitempty"`
	// Families are processes whose CPU time, with that of their descendants, is to be told apart from that of others.
	Families []int `json:",omitempty"`

	Prefix  string  // of the rooms' names
	Rooms   int     // as many
	Members int     // a room
	Dialect Dialect // of members that may send
	Silent  Dialect // of members that do not; as Dialect if empty
	Dialers int     // how many connect at a time

	// fanout: the first Senders members of each room send, for Warmup and then for Measure.
	Senders  int
	Inflight int           // window of each sender in messages; closed loop
	Ack      Ack           // for the closed loop
	Rate     float64       // messages a second, all together; open loop if above 0
	Messages int           // stop after so many, if above 0
	Warmup   time.Duration // not measured
	Measure  time.Duration
	Sample   time.Duration // how often to note the server's memory; 0: never
	Spin     bool          // do not sleep while there is nothing to read

	// idle, churn: how long the server may take to give memory back before it is read.
	Settle time.Duration
	// history: how many joins; churn: how many times the room fills and empties.
	Times int
}

// Server is a node of a server that has several.
type Server struct {
	Addr string // host:port, IPv4
	PID  int
}

// Result is what came of a Plan.
type Result struct {
	// The window.
	Seconds    float64
	Messages   int64           // sent within
	Deliveries int64           // within: one message seen by one member
	Bytes      int64           // read within
	ServerCPU  time.Duration   // within
	ClientCPU  time.Duration   // within
	FamilyCPU  []time.Duration `json:",omitempty"` // within: of each of the plan's families
	OtherCPU   time.Duration   // within: of all that has nothing to do with the run, on all cores

	// From the first message to the end of the last one's delivery.
	Sent      int64
	Delivered int64
	Lost      int64 // of Sent times members, what did not arrive
	Misplaced int64 // seen twice, or in another order than the others saw
	Damaged   int64 // texts that were not whole, or of another room
	Closed    int64 // connections that the server closed

	Syncs   int64 // messages sent to find out whether all are there, before the first
	Members int64

	Latency *Latency `json:",omitempty"` // within the window; open loop
	Memory  []Sample `json:",omitempty"`

	// Joining all members, or one by one (history).
	Join     time.Duration
	JoinCPU  time.Duration
	JoinEach *Latency `json:",omitempty"`
	Frame    int      // bytes of the history
	// Resident memory of the server: before the first member, with all, and after the last has gone.
	Before, With, After int64
}

// Latency is a distribution of durations.
type Latency struct {
	N             uint64
	P50, P99, Max time.Duration
}

// Sample is the server's resident memory at a moment of the window.
type Sample struct {
	Seconds float64
	Bytes   int64
}
