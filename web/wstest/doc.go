// Package wstest is for tests of servers that speak WebSocket: cases of what RFC 6455 asks of a server, in the order of the
// sections of Autobahn's list of cases, a client of bare frames that may break every rule, and connections that keep the
// time of a bubble of testing/synctest.
//
// Only tests import it. It knows neither chat nor Engine.IO: a Server says in what its answers differ.
package wstest
