// Package docs is the documentation that the server serves: the AsyncAPI document, which describes WebSocket and Socket.IO and
// is written here, and one page for people, which is made from that document and the OpenAPI document of the REST calls. The
// page needs no script and loads nothing.
//
// The page says nothing that the documents do not say: write what is to be documented there. The package knows neither the
// rooms nor how a call is served.
package docs
