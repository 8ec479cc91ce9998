package load

import "time"

// Dialect is the protocol that a member speaks.
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

// Plan says what one run does. Do selects the scenario; each scenario uses its fields below.
type Plan struct {
	Do        string // "fanout", "idle", "history" or "churn"
	Addr      string // host:port of the server, IPv4
	ServerPID int
	// CollectorPID is the process that receives the spans. Its CPU time is not counted as that of others.
	CollectorPID int
	// More are further nodes of the same server. The members of every room are distributed over all nodes, whose CPU time is
	// counted together.
	More []Server `json:",omitempty"`
	// Families are processes whose CPU time, with that of their descendants, is reported apart from that of others.
	Families []int `json:",omitempty"`

	Prefix  string  // of the rooms' names
	Rooms   int     // how many
	Members int     // of each room
	Dialect Dialect // of members that may send
	Silent  Dialect // of other members; Dialect if empty
	Dialers int     // how many connect at a time

	// fanout: the first Senders members of each room send, for Warmup and then for Measure.
	Senders  int
	Inflight int           // window of each sender in messages; closed loop
	Ack      Ack           // for the closed loop
	Rate     float64       // messages a second of all senders together; open loop if above 0
	Messages int           // stop after this many, if above 0
	Warmup   time.Duration // not measured
	Measure  time.Duration
	Sample   time.Duration // how often to read the server's memory; 0: never
	Spin     bool          // do not sleep while there is nothing to read

	// idle, churn: how long the server has to return memory to the system before its memory is read.
	Settle time.Duration
	// history: number of joins; churn: how often the room fills and empties.
	Times int
}

// Server is one node of a server with several.
type Server struct {
	Addr string // host:port, IPv4
	PID  int
}

// Result is the outcome of a Plan.
type Result struct {
	// Within the measured window.
	Seconds    float64
	Messages   int64 // sent
	Deliveries int64 // one message seen by one member
	Bytes      int64 // read
	ServerCPU  time.Duration
	ClientCPU  time.Duration
	FamilyCPU  []time.Duration `json:",omitempty"` // of each of the plan's families
	OtherCPU   time.Duration   // of everything that is not part of the run, on all cores

	// From the first message to the delivery of the last.
	Sent      int64
	Delivered int64
	Lost      int64 // Sent × members - Delivered
	Misplaced int64 // seen twice, or out of order
	Damaged   int64 // texts that were incomplete, or of another room
	Closed    int64 // connections that the server closed

	Syncs   int64 // sync messages sent before the first message
	Members int64

	Latency *Latency `json:",omitempty"` // within the window; open loop
	Memory  []Sample `json:",omitempty"`

	// Of joining all members, or one by one (history).
	Join     time.Duration
	JoinCPU  time.Duration
	JoinEach *Latency `json:",omitempty"`
	Frame    int      // bytes of the history
	// Resident memory of the server: before the first member, with all, and after the last has left.
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
