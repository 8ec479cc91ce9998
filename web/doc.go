// Package web is all that clients speak: the REST API, WebSocket, health and metrics, and the page. It turns requests and
// frames into calls of rooms.Service and events into bytes.
//
// It decides nothing that a room decides, holds no SQL, and starts no span: whoever wants to observe it wraps the Service and
// sets the hooks Config.Connecting and Config.Disconnected. Of what observes, it may use the functions of tracing/span that
// read and write trace context, and show the traces that tracing/live keeps.
package web
