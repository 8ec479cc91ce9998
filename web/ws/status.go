package ws

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// Status is why a connection ends: the code and the reason of a close frame (RFC 6455 section 7.4). The zero Status stands
// for an end without a close frame.
//
// The ranges that codes are in tell a client what to do, so that it need not know each code:
//
//	1000, 1002-1005, 1007-1010   do not reconnect: the client ended the connection, or it would be closed again
//	1001, 1006, 1011-1014        reconnect: the server goes away or has a fault, or the connection broke
//	4000-4007                    do not reconnect: what the client asked for does not exist or is not allowed
//	4008-4399                    reconnect: the connection did not keep up
//	4400-4999                    do not reconnect before what the reason names has been changed
//
// All others say nothing: reconnect.
type Status struct {
	Code   int
	Reason string // at most 123 bytes are sent
}

// Statuses with which a Conn ends connections by itself, besides that of a ProtocolError, whose code is 1002.
var (
	NotUTF8 = Status{1007, "text must be UTF-8"}
	TooBig  = Status{1009, "frame is over the size limit"}
	Lost    = Status{1006, "connection lost"}    // is never sent
	Silent  = Status{1006, "no answer to pings"} // is never sent
)

const (
	codeProtocolError = 1002
	codeNoStatus      = 1005 // stands for a close frame without a code; is never sent
	codeInternal      = 1011
)

// Reconnect reports whether a client whose connection was closed with this status should connect again.
func (s Status) Reconnect() bool {
	switch c := s.Code; {
	case c == 1001, c == 1006, c >= 1011 && c <= 1014:
		return true
	case c >= 1000 && c <= 1010, c >= 4000 && c <= 4007, c >= 4400 && c <= 4999:
		return false
	}
	return true
}

// Error implements error, so that a Handler can return a Status.
func (s Status) Error() string { return "ws: " + strconv.Itoa(s.Code) + " " + s.Reason }

// maxReason is how many bytes of a reason fit in a close frame (RFC 6455 section 5.5).
const maxReason = maxControl - 2

// AppendFrame appends the status as a server's close frame: one without a payload for the code 1005, nothing for the zero
// Status. The reason is cut at the border of a character if it is too long.
func (s Status) AppendFrame(dst []byte) []byte {
	switch s.Code {
	case 0:
		return dst
	case codeNoStatus:
		return AppendFrame(dst, Close, nil)
	}
	reason := s.Reason
	for len(reason) > maxReason {
		_, n := utf8.DecodeLastRuneInString(reason)
		reason = reason[:len(reason)-n]
	}
	dst, start := BeginFrame(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Code))
	return EndFrame(append(dst, reason...), start, Close)
}

// ParseClose reads the payload of a close frame. The error is a ProtocolError or ErrNotUTF8.
func ParseClose(p []byte) (code int, reason string, err error) {
	if len(p) == 0 {
		return codeNoStatus, "", nil
	}
	if len(p) == 1 {
		return 0, "", ProtocolError("half a close code")
	}
	code = int(binary.BigEndian.Uint16(p))
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
	default:
		return 0, "", ProtocolError("close code that may not be sent")
	}
	if !utf8.Valid(p[2:]) {
		return 0, "", ErrNotUTF8
	}
	return code, string(p[2:]), nil
}
