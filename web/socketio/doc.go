// Package socketio is a server of the Socket.IO protocol, revision 5, over Engine.IO 4: what socket.io-client 3 and 4 and
// python-socketio 5 speak. Named events with arguments both ways, acknowledgements both ways, binary attachments,
// namespaces, and functions that may refuse a connection with a reason.
//
// A Server is an http.Handler. Namespaces are set up with Server.Of before it serves; their functions are called for
// every Socket that connects to them. What a client sends is handled in order, one event at a time, and is read no faster
// than it is handled; what waits to be sent to a client is bounded (engineio.Options.QueueLimit), and Emit says so when it
// does not fit.
//
// Arguments are kept as the JSON they came as, so what is passed on is the same byte for byte. Namespace.Broadcast sends an
// event to all sockets of a namespace. An event for some of them is encoded once, with Encode or BeginEvent, and then given to
// Push of each.
//
// There are no rooms, no broadcasting between nodes and no recovery of connection state: who gets what is for the owner to
// say. The package knows nothing of chat. It may be imported as it stands; web/socketio/testdata/outside is a program of
// another module that does.
//
// The protocol is described in docs/socket.io-protocol/v5-current.md of github.com/socketio/socket.io. Where the document
// is silent the package does what the reference server does.
package socketio
