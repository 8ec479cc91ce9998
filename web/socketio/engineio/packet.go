package engineio

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Type is what a packet is for: the digit that it begins with.
type Type byte

// The types of packets (section "Protocol" of the protocol document).
const (
	Open    Type = '0' // the handshake
	Close   Type = '1' // the transport is to be closed
	Ping    Type = '2' // a heartbeat or a probe
	Pong    Type = '3'
	Message Type = '4'
	Upgrade Type = '5' // the upgrade is complete
	Noop    Type = '6' // answers a poll when nothing waits
)

// binaryPrefix is what base64 begins with, where binary data is sent as text.
const binaryPrefix = 'b'

// Packet is one packet of the protocol. A packet with Binary set is always a Message.
type Packet struct {
	Type   Type
	Binary bool
	Data   []byte
}

// Errors in a packet.
var (
	ErrEmptyPacket = errors.New("engineio: empty packet")
	ErrBadType     = errors.New("engineio: unknown packet type")
	ErrBadBase64   = errors.New("engineio: binary packet is not base64")
	ErrNotUTF8     = errors.New("engineio: text is not UTF-8")
)

// DecodePacket reads one packet. binary says that it came in a binary WebSocket frame: then data is a message. The packet's
// Data is part of data, unless it was base64.
func DecodePacket(data []byte, binary bool) (Packet, error) {
	if binary {
		return Packet{Type: Message, Binary: true, Data: data}, nil
	}
	if len(data) == 0 {
		return Packet{}, ErrEmptyPacket
	}
	if data[0] == binaryPrefix {
		b, err := decodeBase64(data[1:])
		if err != nil {
			return Packet{}, err
		}
		return Packet{Type: Message, Binary: true, Data: b}, nil
	}
	t := Type(data[0])
	if t < Open || t > Noop {
		return Packet{}, fmt.Errorf("%w %q", ErrBadType, data[0])
	}
	return Packet{Type: t, Data: data[1:]}, nil
}

// decodeBase64 accepts base64 with and without its padding, as clients differ in that.
func decodeBase64(src []byte) ([]byte, error) {
	enc := base64.StdEncoding
	if len(src)%4 != 0 {
		enc = base64.RawStdEncoding
	}
	b := make([]byte, enc.DecodedLen(len(src)))
	n, err := enc.Decode(b, src)
	if err != nil {
		return nil, ErrBadBase64
	}
	return b[:n], nil
}

// AppendPacket appends p as text, as it is in a payload, with binary data as base64.
func AppendPacket(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryPrefix), p.Data)
	}
	return append(append(dst, byte(p.Type)), p.Data...)
}
