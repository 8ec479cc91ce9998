package inbox

import "net/http"

// Refusal returns the status and the reason with which a request to open a WebSocket is to be refused, and sets the
// headers that belong to them; or 0. It checks what gorilla's Upgrader does not (RFC 6455 section 4.2).
func Refusal(r *http.Request, header http.Header) (status int, reason string) {
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
