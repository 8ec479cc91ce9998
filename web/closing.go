package web

import "github.com/traceroom/traceroom/rooms"

// wsClosing is why the server ends a connection. Clients may rely on the codes: 1001, 1011 and 4008 say reconnect with
// since, 4001 and 4003 say do not.
type wsClosing struct {
	code   int
	reason string
}

// What a connection may be closed with. Codes below 4000 are those of RFC 6455 section 7.4.1.
var (
	closeGoingAway   = wsClosing{1001, "server is going away; reconnect with since"}
	closeUnsupported = wsClosing{1003, "text frames only"}
	closeNotUTF8     = wsClosing{1007, "text must be UTF-8"}
	closeTooBig      = wsClosing{1009, "frame is over the size limit"}
	closeFault       = wsClosing{1011, "the server cannot do this now; reconnect with since"}
	closeRoomDeleted = wsClosing{4001, "room was deleted"}
	closeNotAllowed  = wsClosing{4003, "not allowed"}
	closeSlow        = wsClosing{4008, "too slow; reconnect with since"}
	closeSilent      = wsClosing{1006, "no answer to pings"} // never sent: there is nobody to read it
)

func (c wsClosing) frame() []byte { return closeFrame(c.code, c.reason) }

func (c wsClosing) closing() rooms.Closing { return rooms.Closing{Code: c.code, Reason: c.reason} }
