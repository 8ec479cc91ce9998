// Package floor is the minimum of a fan-out over WebSocket, which the benchmarks compare with: one room, every message goes to
// all members, a frame's bytes are made once and shared, and a connection's writer writes all that is queued with one writev.
// It has no log, no traces, no store, no JSON and hardly any limits. Nothing that a real server needs may be added.
package floor
