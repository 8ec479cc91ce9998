// Package apptest runs the real program in tests and speaks to it as its users do: it builds it once, starts it on a free
// port with a database of the test's own, stops, kills and restarts it, and holds what it says. Beside it stand a WebSocket
// client, a receiver for the spans that it exports, and readers for its trace log and metrics.
//
// Only tests import it. It knows the program by its contract alone, so it imports no other package of the project; what is
// expected of an answer is said in the tests, not here.
package apptest
