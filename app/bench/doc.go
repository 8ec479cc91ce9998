// Command bench measures what a delivery costs the server: CPU time of the server's process for one message handed to one
// member, for Traceroom and for its peers, side by side. `go run ./app/bench --help` lists the scenarios. Linux only.
//
// Every server runs alone, in its own process on a core of its own, and new for every round; the rounds of all servers
// are interleaved. The clients are one other process on another core, and so is the receiver of the traces.
//
// The subpackages are what the measuring needs and what can be tested without it; this package knows the scenarios and
// prints the tables. Nothing here is part of the server.
package main
