package engineio

import (
	"bytes"
	"encoding/base64"
	"iter"

	"github.com/traceroom/traceroom/web/ws"
)

// separator stands between the packets of a payload.
const separator = 0x1e

// maxPollPackets is how many packets a poll is answered with at most. python-engineio rejects a payload of more than 16.
const maxPollPackets = 16

// maxPollBytes bounds the answer to a poll, which is a copy of what waits: after so many bytes no packet is added to it.
const maxPollBytes = 64 << 10

// Packets yields the packets of a payload, which is the body of a POST or of the answer to a poll. It ends after the first
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

// nextFrame cuts the first frame off b. ok is false unless b begins with a whole frame that is final.
func nextFrame(b []byte) (f ws.Frame, rest []byte, ok bool) {
	f, n, _ := ws.CutFrame(b)
	return f, b[n:], n > 0 && f.Final
}

// appendFramePacket appends the packet in a WebSocket frame to a payload.
func appendFramePacket(dst []byte, f ws.Frame) []byte {
	if len(dst) > 0 {
		dst = append(dst, separator)
	}
	if f.Op == ws.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, binaryPrefix), f.Payload)
	}
	return append(dst, f.Payload...)
}
