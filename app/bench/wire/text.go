package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
)

// TextSize is the size in bytes of every measured message's text.
const TextSize = 64

// mark begins a measured message's text. It occurs nowhere else in what servers put around it.
const mark = '~'

const (
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
	var number [NumberSize / 2]byte
	binary.BigEndian.PutUint16(number[:], room)
	binary.BigEndian.PutUint32(number[2:], n)
	return hex.AppendEncode(dst, number[:])
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
	var number [NumberSize / 2]byte
	if _, err := hex.Decode(number[:], payload[1:head]); err != nil {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(number[:]), binary.BigEndian.Uint32(number[2:]), payload[TextSize:], true
}
