// Package promises tests what package rooms promises to clients, by a model check: generated commands drive several nodes
// that share a store; nodes are killed and paused, events between them are lost, rooms are deleted and created anew. All that
// clients send, and all that they are acknowledged and shown, is recorded and checked.
//
// It holds only tests. A run takes place in a bubble of testing/synctest, so that waiting takes no time and a run can be
// repeated from its commands.
package promises
