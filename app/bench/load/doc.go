// Package load is the clients of the benchmarks: one process whose one goroutine has thousands of connections through epoll, sends
// with a fixed window or at a fixed rate, finds every message without decoding what surrounds it, and checks that every member
// gets every message once and in the same order as all others. It reads the server's CPU clock at the moments between which it
// counts deliveries.
//
// The servers and how they are started do not belong here.
package load
