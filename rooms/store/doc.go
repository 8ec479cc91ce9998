// Package store keeps rooms, messages and users in SQLite or PostgreSQL: implementations of rooms.Store, their schemas
// and the migrations between them; and, in PostgreSQL, which clients are in which room on any of the nodes that share it
// (rooms.Presence).
//
// It knows SQL and nothing of clients, wire formats or OpenTelemetry: it reports to observers through the callbacks of Options.
// Package storetest holds the tests that every implementation passes.
package store
