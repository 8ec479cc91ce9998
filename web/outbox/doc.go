// Package outbox writes to sockets for those who must not wait: each connection has a bounded Queue of byte slices, and a
// Pool of few goroutines writes all that a Queue holds with one system call, while there is something to write.
//
// It knows neither chat nor WebSocket: what is pushed is bytes, whole frames of whatever protocol. An idle Queue has no
// goroutine, no timer and no buffer.
package outbox
