package wire

import "bytes"

// TextSize is the size in bytes of every measured message's text.
const TextSize = 64

// mark begins a measured message's text. It occurs nowhere else in what servers put around it.
const mark = '~'

const (
	digits = "0123456789abcdef"
	filler = " the quick brown fox jumps over the lazy dog, twic"
	// SyncRoom is the room number in sync messages, which only find out whether all members are there. No room has it.
	SyncRoom = 0xffff
)

// NumberSize is how many bytes AppendNumber appends.
const NumberSize = 4 + 8

// The text is the mark, room and number, and the filler.
const head = 1 + NumberSize

func init() {
	if head+len(filler) != TextSize-1 {
		panic("wire: the filler has the wrong length")
	}
}

// AppendText appends the text of message number n in room.
func AppendText(dst []byte, room uint16, n uint32) []byte {
	dst = AppendNumber(append(dst, mark), room, n)
	dst = append(dst, filler...)
	return append(dst, '.')
}

// AppendNumber appends four hexadecimal digits of the room and eight of the message's number in it.
func AppendNumber(dst []byte, room uint16, n uint32) []byte {
	for s := 12; s >= 0; s -= 4 {
		dst = append(dst, digits[room>>s&0xf])
	}
	for s := 28; s >= 0; s -= 4 {
		dst = append(dst, digits[n>>s&0xf])
	}
	return dst
}

// FindText finds the first text in payload. rest is what follows it, or nil if there is none. ok is false if a text is
// incomplete.
func FindText(payload []byte) (room uint16, n uint32, rest []byte, ok bool) {
	i := bytes.IndexByte(payload, mark)
	if i < 0 {
		return 0, 0, nil, true
	}
	payload = payload[i:]
	if len(payload) < TextSize || string(payload[head:TextSize-1]) != filler || payload[TextSize-1] != '.' {
		return 0, 0, nil, false
	}
	var v uint64
	for _, c := range payload[1:head] {
		d := unhex[c]
		if d > 0xf {
			return 0, 0, nil, false
		}
		v = v<<4 | uint64(d)
	}
	return uint16(v >> 32), uint32(v), payload[TextSize:], true
}

var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte(digits) {
		t[c] = byte(i)
	}
	return t
}()
