// Package rooms is the domain: a Hub of rooms, their Members and Messages, and what happens to a message between the
// frame that brought it and the bytes that the members of its room are sent. README.md follows a message through it.
//
// It knows no HTTP, SQL, NATS, zap or OpenTelemetry; it imports the standard library and uuid. What it needs from
// elsewhere it names as an interface (Store, Relay, Presence, Sink, Format), what others may ask of it is the interface
// Service, and what a wrapper around these cannot see it reports through Hooks.
package rooms
