package ws

import (
	"encoding/binary"
	"errors"
)

// Op is what a frame is: its opcode (RFC 6455 section 5.2).
type Op byte

// The opcodes. A message is Text or Binary.
const (
	Continuation Op = 0x0
	Text         Op = 0x1
	Binary       Op = 0x2
	Close        Op = 0x8
	Ping         Op = 0x9
	Pong         Op = 0xA

	firstControl = Close
)

// Bits of a frame's first two bytes.
const (
	finalBit     = 0x80
	reservedBits = 0x70
	maskBit      = 0x80
)

// headRoom is what BeginFrame leaves for the header: as much as payloads of 126 to 65,535 bytes need.
const headRoom = 4

// BeginFrame leaves room in dst for the header of a frame as a server writes it. Append the payload to b, and then call
// EndFrame with the start returned here. It is for those who do not know the length before they have encoded the payload.
func BeginFrame(dst []byte) (b []byte, start int) { return append(dst, 0, 0, 0, 0), len(dst) }

// EndFrame writes the header of the frame that BeginFrame began at start, and moves the payload if the header is shorter or
// longer than the room that was left for it. The frame is final and not masked.
func EndFrame(b []byte, start int, op Op) []byte {
	payload := b[start+headRoom:]
	n := len(payload)
	// The length must have its shortest form (RFC 6455 section 5.2).
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
	b[start] = finalBit | byte(op)
	return b
}

// AppendFrame appends a whole frame as a server writes it.
func AppendFrame(dst []byte, op Op, payload []byte) []byte {
	return append(appendHeader(dst, op, 0, len(payload)), payload...)
}

// AppendClientFrame appends a whole frame as a client writes it. The key of its mask is zero, so that the payload stands in
// it as it is: for load generators, which have no proxy to protect from their own payloads (RFC 6455 section 10.3).
func AppendClientFrame(dst []byte, op Op, payload []byte) []byte {
	dst = append(appendHeader(dst, op, maskBit, len(payload)), 0, 0, 0, 0)
	return append(dst, payload...)
}

func appendHeader(dst []byte, op Op, mask byte, n int) []byte {
	dst = append(dst, finalBit|byte(op))
	switch {
	case n < 126:
		return append(dst, mask|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(n))
	}
}

// ErrFrame is the error for bytes that no server must send: a masked frame, reserved bits, or a length of over 1 TiB.
var ErrFrame = errors.New("ws: not a frame of a server")

// Frame is one frame as a server writes it.
type Frame struct {
	Op      Op
	Final   bool // it is the last of its message
	Payload []byte
}

// CutFrame returns the first frame of b, as a server writes it, and how many bytes of b it takes up. The payload is a part
// of b. If b does not hold a whole frame, n is 0. The error is ErrFrame.
func CutFrame(b []byte) (f Frame, n int, err error) {
	if len(b) < 2 {
		return f, 0, nil
	}
	if b[0]&reservedBits != 0 || b[1]&maskBit != 0 {
		return f, 0, ErrFrame
	}
	size, head, ok := length(b)
	if ok && size > 1<<40 {
		return f, 0, ErrFrame
	}
	if !ok || uint64(len(b)-head) < size {
		return f, 0, nil
	}
	n = head + int(size)
	return Frame{Op: Op(b[0] & 0x0f), Final: b[0]&finalBit != 0, Payload: b[head:n:n]}, n, nil
}

// length returns the length of the payload of the frame that begins with b, and how many bytes come before its mask or
// payload. b has at least two bytes; ok is false if it has not all of the length.
func length(b []byte) (size uint64, head int, ok bool) {
	switch form := b[1] &^ maskBit; {
	case form < 126:
		return uint64(form), 2, true
	case form == 126 && len(b) >= 4:
		return uint64(binary.BigEndian.Uint16(b[2:])), 4, true
	case form == 127 && len(b) >= 10:
		return binary.BigEndian.Uint64(b[2:]), 10, true
	}
	return 0, 0, false
}

// ProtocolError says how the peer broke the protocol. The connection is closed with 1002.
type ProtocolError string

// Error implements error.
func (e ProtocolError) Error() string { return string(e) }

// Other errors in what a peer sends.
var (
	ErrTooLong = errors.New("message over the limit") // the connection is closed with 1009
	ErrNotUTF8 = errors.New("text is not UTF-8")      // the connection is closed with 1007
)

// maxControl is how many bytes the payload of a control frame may have.
const maxControl = 125

// buffer holds what has been read and not yet returned. b[:done] is the beginning of a message that comes in fragments; b[at:]
// has not been looked at and begins with a frame's header.
type buffer struct {
	b        []byte
	done, at int
	op       Op // of the message that comes in fragments; 0: none does
}

func (b *buffer) empty() bool { return b.at == len(b.b) && b.op == 0 }

// room moves what is held to the front and returns the space behind it, which is not empty.
func (b *buffer) room() []byte {
	if b.at > b.done {
		b.b = b.b[:b.done+copy(b.b[b.done:], b.b[b.at:])]
		b.at = b.done
	}
	if len(b.b) == cap(b.b) {
		b.b = append(make([]byte, 0, 2*cap(b.b)), b.b...)
	}
	return b.b[len(b.b):cap(b.b)]
}

// next returns the next message or control frame of what has been read. op is 0 if not all of it has been read.
func (b *buffer) next(limit int) (op Op, p []byte, err error) {
	for {
		raw := b.b[b.at:]
		if len(raw) < 2 {
			return 0, nil, nil
		}
		final, op := raw[0]&finalBit != 0, Op(raw[0]&0x0f)
		if err := b.check(raw[0], raw[1]); err != nil {
			return 0, nil, err
		}
		size, head, ok := length(raw)
		switch {
		case !ok:
			return 0, nil, nil
		case size>>63 != 0:
			return 0, nil, ProtocolError("length with its highest bit set")
		case head == 4 && size < 126, head == 10 && size < 1<<16:
			return 0, nil, errLongForm
		}
		// A limit is far from where the sum of two lengths within it would overflow.
		if op < firstControl && (size > uint64(limit) || b.done+int(size) > limit) {
			return 0, nil, ErrTooLong
		}
		end := head + 4 + int(size)
		if len(raw) < end {
			return 0, nil, nil
		}
		p = raw[head+4 : end]
		unmask(p, [4]byte(raw[head:]))
		b.at += end
		switch {
		case op >= firstControl:
			return op, p, nil
		case final && b.op == 0:
			return op, p, nil
		}
		b.done += copy(b.b[b.done:], p)
		if op != Continuation {
			b.op = op
		}
		if final {
			op, p = b.op, b.b[:b.done]
			b.op, b.done = 0, 0
			return op, p, nil
		}
	}
}

// errLongForm is the error for a length that fits a shorter form (RFC 6455 section 5.2).
const errLongForm = ProtocolError("length not in its shortest form")

// check returns what is wrong with a frame that begins with these bytes.
func (b *buffer) check(first, second byte) error {
	switch op := Op(first & 0x0f); {
	case first&reservedBits != 0:
		return ProtocolError("reserved bits set without an extension")
	case second&maskBit == 0:
		return ProtocolError("frame without a mask")
	case op >= firstControl:
		if op > Pong {
			return ProtocolError("unknown opcode")
		}
		if first&finalBit == 0 {
			return ProtocolError("control frame in fragments")
		}
		if second&^maskBit > maxControl {
			return ProtocolError("control frame with an extended length")
		}
	case op > Binary:
		return ProtocolError("unknown opcode")
	case op == Continuation && b.op == 0:
		return ProtocolError("continuation of no message")
	case op != Continuation && b.op != 0:
		return ProtocolError("message within a message")
	}
	return nil
}

// unmask takes the mask off p (RFC 6455 section 5.3).
func unmask(p []byte, key [4]byte) {
	k := uint64(binary.LittleEndian.Uint32(key[:]))
	k |= k << 32
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= key[i&3]
	}
}
