package ws

import (
	"errors"
	"net/http"

	"github.com/gorilla/websocket"
)

// Refused is the error for a request that must not be answered with 101: it has not been answered. The headers that belong
// to the status have been set.
type Refused struct {
	Status int
	Reason string
}

// Error implements error.
func (r *Refused) Error() string { return "ws: " + r.Reason }

// ErrClosed is the error for a connection that was opened in a Group that had been closed: it has been told so and closes.
var ErrClosed = errors.New("ws: closed")

// Upgrade answers a request with 101 and takes its connection over. id is what items are given (see Item.Done).
//
// The error is a *Refused if the request is still to be answered, ErrClosed if the peer has been answered with 101 and a
// close frame, and another one if the connection broke. If there is none, Start must be called on the connection, even if
// that has been ended or closed meanwhile.
func (g *Group) Upgrade(w http.ResponseWriter, r *http.Request, id string) (*Conn, error) {
	if websocket.IsWebSocketUpgrade(r) {
		if status, reason := refusal(r, w.Header()); status != 0 {
			return nil, &Refused{status, reason}
		}
	}
	var refused *Refused
	// gorilla's connection is dropped after the handshake: it would keep more memory than an idle connection may cost.
	opened, err := (&websocket.Upgrader{
		CheckOrigin: g.opts.CheckOrigin,
		Error: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
			refused = &Refused{status, reason.Error()}
		},
	}).Upgrade(w, r, nil)
	if refused != nil {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	c := newConn(g, id, opened.NetConn())
	if !g.add(c) {
		// Nobody reads: the peer's answer is not waited for.
		c.out.Finish(g.why.AppendFrame(nil), g.opts.Linger)
		c.out.ReadDone()
		return nil, ErrClosed
	}
	return c, nil
}

// refusal returns the status and the reason with which a request must be refused, and sets the headers that belong to
// them; or 0. It checks what gorilla's Upgrader does not (RFC 6455 section 4.2).
func refusal(r *http.Request, header http.Header) (status int, reason string) {
	const version = "Sec-Websocket-Version"
	switch versions := r.Header.Values(version); {
	case !r.ProtoAtLeast(1, 1):
		return http.StatusBadRequest, "a WebSocket takes HTTP/1.1"
	case len(r.Header.Values("Sec-Websocket-Key")) > 1:
		return http.StatusBadRequest, "more than one Sec-WebSocket-Key"
	case len(versions) > 1 || len(versions) == 1 && versions[0] != "13":
		header.Set(version, "13")
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
		return http.StatusUpgradeRequired, "only version 13 of the WebSocket protocol is spoken here"
	}
	return 0, ""
}
