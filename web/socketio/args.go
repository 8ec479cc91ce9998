package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Args are the arguments of an event or of an acknowledgement as they came: JSON, in which binary data is represented by
// placeholders that number the attachments. They may be kept, and passed on with Emit or Ack unchanged. Their bytes must
// not be changed.
type Args struct {
	values      []json.RawMessage
	attachments [][]byte
}

// Len is how many arguments there are.
func (a Args) Len() int { return len(a.values) }

// Raw is the JSON of argument i, or null if there are not so many.
func (a Args) Raw(i int) json.RawMessage {
	if i < 0 || i >= len(a.values) {
		return json.RawMessage("null")
	}
	return a.values[i]
}

// Decode stores argument i in v, as json.Unmarshal does. An argument that is absent is null.
func (a Args) Decode(i int, v any) error {
	if err := json.Unmarshal(a.Raw(i), v); err != nil {
		return fmt.Errorf("socketio: argument %d: %w", i, err)
	}
	return nil
}

// Bytes is argument i if it is binary.
func (a Args) Bytes(i int) ([]byte, bool) {
	if len(a.attachments) == 0 {
		return nil, false
	}
	var p struct {
		Placeholder bool `json:"_placeholder"`
		Num         int  `json:"num"`
	}
	if json.Unmarshal(a.Raw(i), &p) != nil || !p.Placeholder || p.Num < 0 || p.Num >= len(a.attachments) {
		return nil, false
	}
	return a.attachments[p.Num], true
}

// Attachments are all binary data among the arguments, wherever its placeholders stand.
func (a Args) Attachments() [][]byte { return a.attachments }

var errMixedArgs = errors.New("socketio: an Args must be the only argument")

// attachmentsOf returns the binary data in arguments that are to be sent.
func attachmentsOf(args []any) ([][]byte, error) {
	var found [][]byte
	for _, arg := range args {
		switch arg := arg.(type) {
		case []byte:
			found = append(found, arg)
		case Args:
			if len(args) != 1 {
				return nil, errMixedArgs
			}
			return arg.attachments, nil
		}
	}
	return found, nil
}

// appendArgs appends the arguments, each with a comma before it if any stands before.
func appendArgs(dst []byte, args []any, comma bool) ([]byte, error) {
	binary := 0
	for _, arg := range args {
		if all, ok := arg.(Args); ok {
			for _, v := range all.values {
				dst = append(appendComma(dst, comma), v...)
				comma = true
			}
			return dst, nil
		}
		dst = appendComma(dst, comma)
		comma = true
		switch arg := arg.(type) {
		case []byte:
			dst = append(dst, `{"_placeholder":true,"num":`...)
			dst = append(strconv.AppendInt(dst, int64(binary), 10), '}')
			binary++
		case json.RawMessage:
			if len(arg) == 0 {
				arg = json.RawMessage("null")
			}
			dst = append(dst, arg...)
		default:
			var err error
			if dst, err = appendJSON(dst, arg); err != nil {
				return nil, err
			}
		}
	}
	return dst, nil
}

func appendComma(dst []byte, comma bool) []byte {
	if comma {
		return append(dst, ',')
	}
	return dst
}

// appendJSON appends v without the escapes that JSON needs only inside HTML.
func appendJSON(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("socketio: encode argument: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}
