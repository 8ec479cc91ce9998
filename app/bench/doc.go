// Command bench measures what a delivery costs the server: CPU time of the server's process for one message to one member, for
// Traceroom and its peers side by side. `go run ./app/bench --help` lists the scenarios. Linux only.
//
// Every server runs alone, in a process of its own on a core of its own, and is started anew for every round. The rounds of all
// servers are interleaved. The clients are another process on another core; the receiver of the traces is a third.
//
// The fan-out's load is a closed loop, the same for all servers: a few members send, each has at most a fixed number of messages
// that have not come back to it, and each message that comes back lets its sender send the next. After a warm-up, the deliveries
// that members have read are counted between two readings of the server's CPU clock. Then nothing new is sent, and every message
// must have reached every member once and in one order. Latency is measured in an open loop: messages are sent at a fixed rate,
// whether earlier ones have arrived or not.
//
// Spans are counted by their receiver, after the server has ended, and compared with the number that the messages and members of
// the run should have made.
//
// The subpackages do what can be tested without measuring. This package has the scenarios and prints the tables. Nothing here is
// part of the server.
package main
