package inbox

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Op says what a message or control frame is: its opcode (RFC 6455 section 5.2).
type Op byte

// What Next returns.
const (
	Text   Op = 0x1
	Binary Op = 0x2
	Close  Op = 0x8
	Ping   Op = 0x9
	Pong   Op = 0xA

	continuation Op = 0x0
	firstControl Op = 0x8
)

// ProtocolError is how the peer broke the protocol. It is to be closed with 1002.
type ProtocolError string

// Error implements error.
func (e ProtocolError) Error() string { return string(e) }

// What else a peer may be closed for.
var (
	ErrTooLong = errors.New("message over the limit") // with 1009
	ErrNotUTF8 = errors.New("text is not UTF-8")      // with 1007
)

// maxControl is the length of a control frame's longest payload.
const maxControl = 125

// buffer holds what has been read and not yet handed out: b[:done] is the message so far, when its fragments are being put
// together; b[at:] is as it came, and begins with a frame's header.
type buffer struct {
	b        []byte
	done, at int
	op       Op // of the message that is being put together; 0: none
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

// next takes the next message or control frame out of what has been read. op is 0 if it has not all been read.
func (b *buffer) next(limit int) (op Op, p []byte, err error) {
	for {
		raw := b.b[b.at:]
		if len(raw) < 2 {
			return 0, nil, nil
		}
		final, op := raw[0]&0x80 != 0, Op(raw[0]&0x0f)
		if err := b.check(raw[0], raw[1]); err != nil {
			return 0, nil, err
		}
		size, head := uint64(raw[1]&0x7f), 2
		switch size {
		case 126:
			if head += 2; len(raw) < head {
				return 0, nil, nil
			}
			if size = uint64(binary.BigEndian.Uint16(raw[2:])); size < 126 {
				return 0, nil, errLongForm
			}
		case 127:
			if head += 8; len(raw) < head {
				return 0, nil, nil
			}
			switch size = binary.BigEndian.Uint64(raw[2:]); {
			case size>>63 != 0:
				return 0, nil, ProtocolError("length with its highest bit set")
			case size < 1<<16:
				return 0, nil, errLongForm
			}
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
		if op != continuation {
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
	case first&0x70 != 0:
		return ProtocolError("reserved bits set without an extension")
	case second&0x80 == 0:
		return ProtocolError("frame without a mask")
	case op >= firstControl:
		if op > Pong {
			return ProtocolError("unknown opcode")
		}
		if first&0x80 == 0 {
			return ProtocolError("control frame in fragments")
		}
		if second&0x7f > maxControl {
			return ProtocolError("control frame with an extended length")
		}
	case op > Binary:
		return ProtocolError("unknown opcode")
	case op == continuation && b.op == 0:
		return ProtocolError("continuation of no message")
	case op != continuation && b.op != 0:
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

// noStatus is the code for a close frame without one (RFC 6455 section 7.4.1).
const noStatus = 1005

// ParseClose reads the payload of a close frame. An error is a ProtocolError or ErrNotUTF8.
func ParseClose(p []byte) (code int, reason string, err error) {
	if len(p) == 0 {
		return noStatus, "", nil
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
