// Package relay implements rooms.Relay: Local for one node, NATS for many. It moves events and nothing else: it knows no
// store and no connection of a client, and decides nothing about order.
package relay
