package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	fast "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Args are the arguments of an event or of an acknowledgement as they came: JSON, in which binary data is represented by
// placeholders that number the attachments. They may be kept, and passed on with Emit or Ack unchanged. Their bytes must
// not be changed.
type Args struct {
	values      []json.RawMessage
	attachments [][]byte
}

// Len returns how many arguments there are.
func (a Args) Len() int { return len(a.values) }

// Raw returns the JSON of argument i, counted from 0, or null if there are fewer arguments.
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

// Bytes returns argument i, counted from 0, if it is binary.
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

// Attachments returns all binary data in the arguments, at whatever depth its placeholders are.
func (a Args) Attachments() [][]byte { return a.attachments }

// Errors in arguments that are to be sent.
var (
	errMixedArgs = errors.New("socketio: an Args must be the only argument")
	errRaw       = errors.New("socketio: a json.RawMessage is not valid JSON")
)

// encodeArgs returns the arguments as JSON, with commas between them, and the binary data that its placeholders stand for.
func encodeArgs(args []any) (values []byte, attachments [][]byte, err error) {
	for i, arg := range args {
		values = appendComma(values, i > 0)
		switch arg := arg.(type) {
		case Args:
			if len(args) != 1 {
				return nil, nil, errMixedArgs
			}
			for i, v := range arg.values {
				values = append(appendComma(values, i > 0), v...)
			}
			return values, arg.attachments, nil
		case []byte:
			values = appendPlaceholder(values, len(attachments))
			attachments = append(attachments, arg)
		case json.RawMessage:
			switch {
			case len(arg) == 0:
				values = append(values, "null"...)
			case !json.Valid(arg):
				return nil, nil, errRaw
			default:
				values = append(values, arg...)
			}
		default:
			v, found, err := encodeValue(arg, len(attachments))
			if err != nil {
				return nil, nil, err
			}
			values = append(values, v...)
			attachments = append(attachments, found...)
		}
	}
	return values, attachments, nil
}

// encodeValue returns v as encoding/json encodes it, but for the []byte in it, which become attachments that are numbered
// from first on. A nil []byte is null.
func encodeValue(v any, first int) (value []byte, attachments [][]byte, err error) {
	binary := fast.MarshalToFunc(func(enc *jsontext.Encoder, b []byte) error {
		if b == nil {
			return enc.WriteToken(jsontext.Null)
		}
		attachments = append(attachments, b)
		return enc.WriteValue(appendPlaceholder(nil, first+len(attachments)-1))
	})
	value, err = fast.Marshal(v, jsonv1.DefaultOptionsV1(), jsontext.EscapeForHTML(false), fast.WithMarshalers(binary))
	if err != nil {
		return nil, nil, fmt.Errorf("socketio: encode argument: %w", err)
	}
	return value, attachments, nil
}

// appendPlaceholder appends the JSON that stands for an attachment.
func appendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(dst, int64(num), 10), '}')
}

func appendComma(dst []byte, comma bool) []byte {
	if comma {
		return append(dst, ',')
	}
	return dst
}

// appendJSON appends v as JSON, without the escapes that are needed only in HTML.
func appendJSON(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("socketio: encode argument: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}
