package engineio

import (
	"bytes"
	"encoding/base64"
	"iter"
)

// separator stands between the packets of a payload.
const separator = 0x1e

// maxPollPackets is how many packets one poll is answered with. python-engineio rejects a payload of more than 16.
const maxPollPackets = 16

// maxPollBytes is after how many bytes a poll is answered with no further packet: the answer is a copy of what waits.
const maxPollBytes = 64 << 10

// Packets yields the packets of a payload, which is what a POST or the answer to a poll holds. It ends after the first
// error.
func Packets(payload []byte) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		for more := true; more; {
			var one []byte
			one, payload, more = bytes.Cut(payload, []byte{separator})
			p, err := DecodePacket(one, false)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

// AppendPayload appends packets as one payload.
func AppendPayload(dst []byte, packets ...Packet) []byte {
	for i, p := range packets {
		if i > 0 {
			dst = append(dst, separator)
		}
		dst = AppendPacket(dst, p)
	}
	return dst
}

// appendFramePacket appends to a payload the packet that a WebSocket frame holds.
func appendFramePacket(dst []byte, f frame) []byte {
	if len(dst) > 0 {
		dst = append(dst, separator)
	}
	if f.op == opBinary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryPrefix), f.payload)
	}
	return append(dst, f.payload...)
}
