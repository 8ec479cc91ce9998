// Package engineio is a server of the Engine.IO protocol, revision 4, on net/http and gorilla/websocket: messages both ways
// over HTTP long polling, over WebSocket, and through the upgrade from one to the other with nothing lost or reordered.
//
// A Server is an http.Handler. For each client that shakes hands it opens a Session and asks its owner for a Handler, which
// is then given the client's messages in order. Sessions may be sent to from any goroutine.
//
// A WebSocket session costs one goroutine, the one that reads; a workers.Pool writes to all sessions and pings them. What
// waits to be sent is bounded, and what a client sends is read no faster than its Handler takes it.
//
// What is for many sessions is encoded once: Session.Push takes WebSocket frames (see AppendMessage), of which a polling
// session sends the payloads.
//
// The protocol is described in docs/engine.io-protocol/v4-current.md of github.com/socketio/socket.io. Where the document
// is silent the package does what the reference server does. Left out are JSONP, WebTransport, compression and revision 3.
//
// The package knows neither Socket.IO nor what the messages mean.
package engineio
