package wire

import (
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455 section 5.2.
const (
	Continuation = 0x0
	TextFrame    = 0x1
	CloseFrame   = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// ErrFrame says that a server sent what a server must not send: a masked frame or reserved bits.
var ErrFrame = errors.New("wire: not a frame of a server")

// Frame is one frame; Payload is part of the bytes it was read from.
type Frame struct {
	Op      byte
	Fin     bool
	Payload []byte
}

// Next returns the first frame of b and how many bytes it takes. n is 0 if b does not hold the whole of it.
func Next(b []byte) (f Frame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return f, 0, ErrFrame
	}
	head, size := 2, uint64(b[1])
	switch size {
	case 126:
		if len(b) < 4 {
			return f, 0, nil
		}
		head, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return f, 0, nil
		}
		head, size = 10, binary.BigEndian.Uint64(b[2:])
		if size > 1<<40 {
			return f, 0, ErrFrame
		}
	}
	if uint64(len(b)-head) < size {
		return f, 0, nil
	}
	n = head + int(size)
	return Frame{Op: b[0] & 0xF, Fin: b[0]&0x80 != 0, Payload: b[head:n:n]}, n, nil
}

// AppendClient appends a client's whole frame to dst. The mask's key is zero, so that the payload stands there as it is;
// servers unmask it all the same.
func AppendClient(dst []byte, op byte, payload []byte) []byte {
	dst = appendHead(dst, op, 0x80, len(payload))
	dst = append(dst, 0, 0, 0, 0)
	return append(dst, payload...)
}

// AppendServer appends a server's whole text frame to dst.
func AppendServer(dst, payload []byte) []byte {
	return append(appendHead(dst, TextFrame, 0, len(payload)), payload...)
}

// appendHead appends the beginning of a whole frame with n bytes of payload: its opcode and its length, with the bit masked if the
// key of a mask follows.
func appendHead(dst []byte, op, masked byte, n int) []byte {
	dst = append(dst, 0x80|op)
	switch {
	case n < 126:
		return append(dst, masked|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
}
