// Package load is the clients' side of the benchmarks: one process with one goroutine that holds thousands of connections
// through epoll, sends at a fixed window or rate, recognises every message without decoding what surrounds it, and checks
// that every member gets every message once, in the order in which all others get it. It reads the server's CPU clock at
// the very moments between which it counts deliveries.
//
// What the servers are and how they are started does not belong here.
package load
