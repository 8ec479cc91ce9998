package engineio

import (
	"encoding/binary"
)

// Opcodes of WebSocket frames (RFC 6455 section 5.2).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPong   = 10
)

const finalBit = 0x80

// frame is a WebSocket frame as a server writes it: final and not masked.
type frame struct {
	op      byte
	payload []byte
}

// nextFrame cuts the first frame off b. ok is false if b does not begin with a whole, final and unmasked frame.
func nextFrame(b []byte) (f frame, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&finalBit == 0 {
		return frame{}, nil, false
	}
	head, n := 2, uint64(b[1])
	switch {
	case n == 126 && len(b) >= 4:
		head, n = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case n == 127 && len(b) >= 10:
		head, n = 10, binary.BigEndian.Uint64(b[2:])
	case n > 125:
		return frame{}, nil, false
	}
	if n > uint64(len(b)-head) {
		return frame{}, nil, false
	}
	return frame{op: b[0] & 0xf, payload: b[head : head+int(n)]}, b[head+int(n):], true
}

// headRoom is what BeginFrame leaves for the header of a frame of middling length.
const headRoom = 4

// BeginFrame makes room in dst for the header of a text frame. What is then appended is its payload, an Engine.IO packet;
// EndFrame, given the start returned here, completes it. This is for encoders that do not know the length before.
func BeginFrame(dst []byte) (b []byte, start int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// EndFrame writes the header of the frame that BeginFrame began at start.
func EndFrame(b []byte, start int) []byte { return endFrame(b, start, opText) }

func endFrame(b []byte, start int, op byte) []byte {
	payload := b[start+headRoom:]
	n := len(payload)
	// The length must be written in as few bytes as it takes (RFC 6455 section 5.2), so the payload may have to move.
	switch {
	case n < 126:
		copy(b[start+2:], payload)
		b = b[:start+2+n]
		b[start+1] = byte(n)
	case n < 1<<16:
		b[start+1] = 126
		binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	default:
		b = append(b, 0, 0, 0, 0, 0, 0)
		copy(b[start+10:], b[start+headRoom:start+headRoom+n])
		b[start+1] = 127
		binary.BigEndian.PutUint64(b[start+2:], uint64(n))
	}
	b[start] = finalBit | op
	return b
}

func appendFrame(dst []byte, op byte, prefix string, data []byte) []byte {
	dst, start := BeginFrame(dst)
	dst = append(append(dst, prefix...), data...)
	return endFrame(dst, start, op)
}

// AppendMessage appends the WebSocket frame of a message of text, fit for Session.Push. The text must be UTF-8 without
// U+001E, which separates packets in polling.
func AppendMessage(dst, text []byte) []byte { return appendFrame(dst, opText, "4", text) }

// AppendBinaryMessage appends the WebSocket frame of a binary message, fit for Session.Push.
func AppendBinaryMessage(dst, data []byte) []byte { return appendFrame(dst, opBinary, "", data) }
