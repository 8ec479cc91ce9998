// Package apptest runs the real program in tests and talks to it as its users do. It builds the program once, starts it on a
// free port with a database of its own, stops, kills and restarts it, and keeps its output. It also has a WebSocket client, a
// Socket.IO client, a receiver of exported spans, and readers of the trace log and the metrics.
//
// Only tests import it. It knows only the program's contract with clients and operators, so it imports no other package of the
// project. What an answer should be is said in the tests, not here.
package apptest
