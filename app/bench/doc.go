// Command bench measures what a delivery costs the server: CPU time of the server's process for one message handed to one
// member, for Traceroom and for its peers, side by side. `go run ./app/bench --help` lists the scenarios. Linux only.
//
// Every server runs alone, in its own process on a core of its own, and new for every round; the rounds of all servers
// are interleaved. The clients are one other process on another core, and so is the receiver of the traces.
//
// The fan-out's load is a closed loop, the same for all servers: a few members send, each has at most so many messages
// that have not come back to it, and its own message coming back lets it send the next. What is counted between two
// readings of the server's CPU clock are deliveries that members have read, after a warm-up; afterwards the loop runs
// empty, and every message must have reached every member once and in one order. Latency is measured in an open loop, at a
// rate that does not wait for anybody.
//
// Spans are counted where they arrive, after the server has been asked to end, and held against what the messages and
// members of the run should have made.
//
// The subpackages are what the measuring needs and what can be tested without it; this package knows the scenarios and
// prints the tables. Nothing here is part of the server.
package main
