// Package ws is WebSocket connections (RFC 6455) of a server that has very many of them, most of which are quiet. A Group
// answers handshakes and holds the connections; a Conn reads frames and calls its Handler, and writes what is pushed to it
// from a bounded queue. The package also makes and reads single frames, for servers and for clients: it is the only place of
// this module that does.
//
// A Conn costs one goroutine, the one that reads, and no buffer while nothing is read or written. Writing, pings and
// deadlines are left to a workers.Pool. gorilla/websocket answers the handshake and is not used after it.
//
// The package knows neither chat nor Engine.IO: what messages mean, who may connect and what is logged or traced is for
// those who use it.
package ws
