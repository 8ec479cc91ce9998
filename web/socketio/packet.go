package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// packetType is what a packet is for: the digit that it begins with.
type packetType byte

// The types of packets (section "Exchange protocol" of the protocol document).
const (
	connect      packetType = '0'
	disconnect   packetType = '1'
	event        packetType = '2'
	ack          packetType = '3'
	connectError packetType = '4'
	binaryEvent  packetType = '5'
	binaryAck    packetType = '6'
)

// packet is a packet without its attachments.
type packet struct {
	kind        packetType
	attachments int    // how many binary messages follow that belong to it
	namespace   string // begins with a slash
	id          uint64 // of the acknowledgement
	hasID       bool
	data        []byte // JSON, or nothing
}

// Errors in a packet.
var (
	errType         = errors.New("socketio: unknown packet type")
	errAttachments  = errors.New("socketio: bad number of attachments")
	errPlaceholder  = errors.New("socketio: placeholder without its attachment")
	errID           = errors.New("socketio: bad acknowledgement id")
	errPayload      = errors.New("socketio: payload does not fit the packet")
	errUnexpected   = errors.New("socketio: text in place of an attachment")
	errNoAttachment = errors.New("socketio: attachment without its packet")
	errTooLong      = errors.New("socketio: packet and attachments are too long")
)

// reserved are the names that no event may have, as they mean something else to clients or servers.
var reserved = []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}

// decode reads a packet (section "Packet encoding") and checks that its payload has the form that its type requires. The
// packet's data is part of text.
func decode(text []byte, maxAttachments int) (packet, error) {
	var p packet
	if len(text) == 0 || text[0] < byte(connect) || text[0] > byte(binaryAck) {
		return p, errType
	}
	p.kind, text = packetType(text[0]), text[1:]
	if p.kind == binaryEvent || p.kind == binaryAck {
		digits, rest, ok := bytes.Cut(text, []byte{'-'})
		n, err := strconv.ParseUint(string(digits), 10, 16)
		if !ok || err != nil || n == 0 || maxAttachments < 0 || n > uint64(maxAttachments) {
			return p, errAttachments
		}
		p.attachments, text = int(n), rest
	}
	p.namespace = "/"
	if len(text) > 0 && text[0] == '/' {
		name, rest, _ := bytes.Cut(text, []byte{','})
		p.namespace, text = string(name), rest
	}
	n := 0
	for n < len(text) && '0' <= text[n] && text[n] <= '9' {
		n++
	}
	if n > 0 {
		id, err := strconv.ParseUint(string(text[:n]), 10, 64)
		if err != nil {
			return p, errID
		}
		p.id, p.hasID, text = id, true, text[n:]
	}
	p.data = text
	return p, p.check()
}

// check returns an error unless the payload has the form that the type requires.
func (p *packet) check() error {
	first := byte(0)
	if data := trim(p.data); len(data) > 0 {
		first = data[0]
	}
	ok := false
	switch p.kind {
	case connect:
		ok = len(p.data) == 0 || first == '{'
	case disconnect:
		ok = len(p.data) == 0
	case connectError:
		ok = first == '{' || first == '"'
	case event, binaryEvent:
		ok = first == '['
	case ack, binaryAck:
		ok = first == '[' && p.hasID
	}
	if !ok || len(p.data) > 0 && !json.Valid(p.data) {
		return fmt.Errorf("%w of type %c", errPayload, p.kind)
	}
	if p.attachments > 0 && !placeholdersFit(p.data, p.attachments) {
		return errPlaceholder
	}
	return nil
}

// split returns the elements of a valid JSON array, as they are written.
func split(array []byte) []json.RawMessage {
	array = trim(array)
	array = trim(array[1 : len(array)-1])
	if len(array) == 0 {
		return nil
	}
	var elements []json.RawMessage
	depth, start := 0, 0
	quoted := false
	for i := 0; i < len(array); i++ {
		c := array[i]
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			elements = append(elements, trim(array[start:i:i]))
			start = i + 1
		}
	}
	return append(elements, trim(array[start:len(array):len(array)]))
}

// trim removes white space, as JSON has it, at both ends.
func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// eventName reads the first element of an event's payload: a string, or a number, as some clients send it.
func eventName(first json.RawMessage) (string, error) {
	switch c := first[0]; {
	case c == '-' || '0' <= c && c <= '9':
		return string(first), nil
	case c != '"':
		return "", errPayload
	}
	name := string(first[1 : len(first)-1])
	if bytes.IndexByte(first, '\\') >= 0 {
		if err := json.Unmarshal(first, &name); err != nil {
			return "", errPayload
		}
	}
	if slices.Contains(reserved, name) {
		return "", fmt.Errorf("%w: %q is reserved", errPayload, name)
	}
	return name, nil
}

// placeholdersFit reports whether every placeholder in valid JSON names one of n attachments.
func placeholdersFit(data []byte, n int) bool {
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(&v) == nil && fits(v, n)
}

func fits(v any, n int) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if !fits(e, n) {
				return false
			}
		}
	case map[string]any:
		if v["_placeholder"] == true {
			num, ok := v["num"].(json.Number)
			if !ok {
				return false
			}
			i, err := strconv.Atoi(num.String())
			return err == nil && i >= 0 && i < n
		}
		for _, e := range v {
			if !fits(e, n) {
				return false
			}
		}
	}
	return true
}
