// Package promises tests what package rooms promises to clients, by a model check: generated commands drive several nodes
// that share a store, nodes are killed and paused, hints between them lost, rooms deleted and made anew, and all that
// clients sent, were acknowledged and were shown is recorded and checked.
//
// It holds tests alone. A run takes place in a bubble of testing/synctest, so that time costs nothing and a run can be
// repeated from its commands.
package promises
