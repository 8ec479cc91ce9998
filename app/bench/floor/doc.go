// Package floor is the least that a fan-out over WebSocket can be: one room, what one member sends goes to all, a frame's
// bytes are made once and shared, and a connection's writer hands all that is queued to the kernel with one writev. No
// log, no trace, no store, no JSON, no limits worth the name. It is what the benchmarks compare with; nothing that a
// real server needs may be added.
package floor
