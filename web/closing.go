package web

import "github.com/traceroom/traceroom/web/ws"

// What the server closes WebSocket connections with. Clients may rely on the codes, and on their ranges (see ws.Status).
var (
	closeGoingAway   = ws.Status{Code: 1001, Reason: "server is going away; reconnect with since"}
	closeUnsupported = ws.Status{Code: 1003, Reason: "text frames only"}
	closeNotUTF8     = ws.NotUTF8
	closeTooBig      = ws.TooBig
	closeFault       = ws.Status{Code: 1011, Reason: "the server cannot do this now; reconnect with since"}
	closeRoomDeleted = ws.Status{Code: 4001, Reason: "room was deleted"}
	closeNotAllowed  = ws.Status{Code: 4003, Reason: "not allowed"}
	closeSlow        = ws.Status{Code: 4008, Reason: "too slow; reconnect with since"}
	closeSilent      = ws.Silent
)
