package socketio

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/traceroom/traceroom/web/outbox"
	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// ErrReserved says that an event has a name that means something else to Socket.IO.
var ErrReserved = errors.New("socketio: reserved event name")

// Encode makes an event of a namespace ready to be pushed to any number of its sockets, as one item of weight 1. A []byte is
// sent as binary data, as an argument and anywhere within one; json.RawMessage is sent as it is; an Args must be the only
// argument and is passed on unchanged; anything else is sent as encoding/json encodes it. The error says what cannot be sent,
// a json.RawMessage that is not JSON for example.
func Encode(namespace, name string, args ...any) (outbox.Control, error) {
	return encodeEvent(namespace, nil, name, args)
}

// AppendEvent appends the WebSocket frame of an event with one argument, which must be valid JSON.
func AppendEvent(dst []byte, namespace, name string, json []byte) []byte {
	dst, start := BeginEvent(dst, namespace, name)
	return EndEvent(append(dst, json...), start)
}

// BeginEvent is for encoders that append the JSON of an event's argument (or of several, with commas between) straight to
// a WebSocket frame in dst. EndEvent, given the start returned here, completes the frame.
func BeginEvent(dst []byte, namespace, name string) (b []byte, start int) {
	dst, start = engineio.BeginFrame(dst)
	dst = appendHead(dst, event, 0, namespace, nil)
	return append(appendString(append(dst, '['), name), ','), start
}

// EndEvent completes the frame that BeginEvent began at start.
func EndEvent(b []byte, start int) []byte { return engineio.EndFrame(append(b, ']'), start) }

func encodeEvent(namespace string, id *uint64, name string, args []any) (outbox.Control, error) {
	if slices.Contains(reserved, name) {
		return nil, fmt.Errorf("%w %q", ErrReserved, name)
	}
	return encode(event, namespace, id, &name, args)
}

// encode makes the frames of an event or an acknowledgement and of its attachments.
func encode(kind packetType, namespace string, id *uint64, name *string, args []any) (outbox.Control, error) {
	values, attachments, err := encodeArgs(args)
	if err != nil {
		return nil, err
	}
	b, start := engineio.BeginFrame(nil)
	b = append(appendHead(b, kind, len(attachments), namespace, id), '[')
	if name != nil {
		b = appendComma(appendString(b, *name), len(values) > 0)
	}
	b = engineio.EndFrame(append(append(b, values...), ']'), start)
	for _, a := range attachments {
		b = engineio.AppendBinaryMessage(b, a)
	}
	return b, nil
}

// encodeControl makes the frame of a packet that has a payload of its own, or none.
func encodeControl(kind packetType, namespace string, payload any) (outbox.Control, error) {
	b, start := engineio.BeginFrame(nil)
	b = appendHead(b, kind, 0, namespace, nil)
	if payload != nil {
		var err error
		if b, err = appendJSON(b, payload); err != nil {
			return nil, err
		}
	}
	return engineio.EndFrame(b, start), nil
}

// appendHead appends all of a packet that stands before its payload, with the type of the Engine.IO packet around it.
func appendHead(dst []byte, kind packetType, attachments int, namespace string, id *uint64) []byte {
	if attachments > 0 {
		kind += binaryEvent - event
	}
	dst = append(dst, byte(engineio.Message), byte(kind))
	if attachments > 0 {
		dst = append(strconv.AppendInt(dst, int64(attachments), 10), '-')
	}
	if namespace != "/" && namespace != "" {
		dst = append(append(dst, namespace...), ',')
	}
	if id != nil {
		dst = strconv.AppendUint(dst, *id, 10)
	}
	return dst
}

// appendString appends s as JSON.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			dst, err := appendJSON(dst, s)
			if err != nil {
				panic(err) // strings can be encoded
			}
			return dst
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}
