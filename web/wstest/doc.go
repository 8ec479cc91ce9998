// Package wstest is for tests of servers that speak WebSocket: cases for what RFC 6455 requires of a server, in the order of
// Autobahn's list of cases, a client that sends single frames and may break every rule, and connections within the process,
// which can be used in a bubble of testing/synctest.
//
// Only tests import it. It makes and reads frames without package ws, so that a mistake there is noticed. It knows neither chat
// nor Engine.IO: a Server says in what its answers differ.
package wstest
