package socketio

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

// ErrReserved is the error for an event whose name means something else to Socket.IO.
var ErrReserved = errors.New("socketio: reserved event name")

// Encode encodes an event of a namespace, to be pushed to any number of its sockets. A []byte is sent as binary data, as an
// argument and anywhere within one; json.RawMessage is sent as it is; an Args must be the only argument and is passed on
// unchanged; anything else is sent as encoding/json encodes it. The error is about an argument that cannot be sent, such as a
// json.RawMessage that is not JSON, or ErrReserved.
func Encode(namespace, name string, args ...any) (engineio.Frames, error) {
	return encodeEvent(namespace, nil, name, args)
}

// AppendEvent appends the WebSocket frame of an event with one argument, which must be valid JSON.
func AppendEvent(dst []byte, namespace, name string, json []byte) []byte {
	dst, start := BeginEvent(dst, namespace, name)
	return EndEvent(append(dst, json...), start)
}

// BeginEvent begins the WebSocket frame of an event in dst, for encoders that append JSON. Append the JSON of its argument, or
// of several with commas between them, to b, and then call EndEvent with the start returned here.
func BeginEvent(dst []byte, namespace, name string) (b []byte, start int) {
	dst, start = engineio.BeginFrame(dst)
	dst = appendHead(dst, event, 0, namespace, nil)
	return append(appendString(append(dst, '['), name), ','), start
}

// EndEvent completes the frame that BeginEvent began at start.
func EndEvent(b []byte, start int) []byte { return engineio.EndFrame(append(b, ']'), start) }

func encodeEvent(namespace string, id *uint64, name string, args []any) (engineio.Frames, error) {
	if slices.Contains(reserved, name) {
		return nil, fmt.Errorf("%w %q", ErrReserved, name)
	}
	return encode(event, namespace, id, &name, args)
}

// encode returns the frames of an event or an acknowledgement, and of its attachments.
func encode(kind packetType, namespace string, id *uint64, name *string, args []any) (engineio.Frames, error) {
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

// encodeControl returns the frame of a packet that is neither. Its payload may be nil.
func encodeControl(kind packetType, namespace string, payload any) (engineio.Frames, error) {
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

// appendHead appends the type of an Engine.IO message, and the Socket.IO packet in it up to its payload.
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
