// Package inbox reads WebSocket frames (RFC 6455) from clients' connections, of which most say nothing most of the time:
// a Reader that waits holds no buffer, and waits so few calls deep that the goroutine it waits in keeps the smallest stack
// there is.
//
// It also says which handshakes are to be refused. It knows neither chat nor how to answer: it neither writes nor closes.
// What is written is outbox's.
package inbox
