// Package relay implements rooms.Relay: Local for one node, NATS for many. It moves events and nothing else: it knows no
// store and no client's connection, and does not put events in order.
package relay
