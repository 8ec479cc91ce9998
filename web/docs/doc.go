// Package docs is the documentation that the server gives of itself: one page for people, which needs no script and loads
// nothing, made from the OpenAPI document that describes the REST calls and the AsyncAPI document that describes WebSocket
// and Socket.IO; and the AsyncAPI document itself, which is written here.
//
// The page says what the documents say and nothing of its own: what is to be documented goes there. The package knows
// neither the rooms nor how a call is served.
package docs
