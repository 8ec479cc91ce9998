package inspect

import "bytes"

// fields walks over the top-level members of the JSON object that args and result hold.
type fields struct {
	b     []byte
	i     int
	begun bool
}

// value is one member's value: a string, or the JSON of anything else.
type value struct {
	text
	isString bool
}

// over starts a walk. b is decoded already; it may be cut anywhere, as the log cuts long values.
func over(b []byte) fields { return fields{b: b} }

// next returns the next whole member. ok is false at the object's end and at the first byte that is not as JSON has it,
// such as where the log cut the value off.
func (f *fields) next() (key text, v value, ok bool) {
	before := byte('{')
	if f.begun {
		before = ','
	}
	f.begun = true
	f.space()
	if f.i >= len(f.b) || f.b[f.i] != before {
		return key, v, false
	}
	f.i++
	f.space()
	if key, f.i, ok = scanText(f.b, f.i); !ok {
		return key, v, false
	}
	f.space()
	if f.i >= len(f.b) || f.b[f.i] != ':' {
		return key, v, false
	}
	f.i++
	f.space()
	start := f.i
	if f.i, ok = scanValue(f.b, f.i, 0); !ok || f.i >= len(f.b) { // what ends where the text does may have been cut
		return key, v, false
	}
	if raw := f.b[start:f.i]; raw[0] == '"' {
		v.isString = true
		v.raw, v.escaped = raw[1:len(raw)-1], bytes.IndexByte(raw, '\\') >= 0
	} else {
		v.raw = raw
	}
	return key, v, true
}

func (f *fields) space() {
	for f.i < len(f.b) && (f.b[f.i] == ' ' || f.b[f.i] == '\n' || f.b[f.i] == '\t' || f.b[f.i] == '\r') {
		f.i++
	}
}

// cut is what the log puts where it cut a long value off.
const cut = "...(truncated)"

// The names under which args tell whom an operation was for.
var (
	connectionNames = []string{"connection_id"}
	roomNames       = []string{"room_id", "chatroom_id", "room"}
	clientNames     = []string{"client_id", "user_id"}
)

// find returns the first of the named members that b has as a string.
func find(b []byte, names []string) (text, bool) {
	best, at := text{}, len(names)
	f := over(b)
	for {
		k, v, ok := f.next()
		if !ok || at == 0 {
			return best, at < len(names)
		}
		for n, name := range names[:at] {
			if v.isString && string(k.raw) == name {
				best, at = v.text, n
			}
		}
	}
}
