package inspect

import (
	"unicode/utf16"
	"unicode/utf8"
)

// event is what a line tells of its operation.
type event uint8

const (
	enter event = iota + 1 // it began
	exit                   // it ended, well or not
)

// traceID and spanID are W3C trace context identifiers. All zeros stand for none.
type (
	traceID [2]uint64
	spanID  uint64
)

// spanKey names one span of one trace.
type spanKey struct {
	trace traceID
	span  spanID
}

// line is one line of the trace log. Its byte slices lie in the bytes it was parsed from, or in the parser's, and are
// valid until the parser's next line.
type line struct {
	event    event
	failed   bool  // an EXIT with an exception
	stamp    int64 // Unix milliseconds
	micros   int64 // the operation's duration on an EXIT, or -1 when the line has none
	millis   int64 // the same in milliseconds, or -1
	trace    traceID
	span     spanID
	parent   spanID // 0 for a root
	linkTo   spanKey
	thread   []byte
	module   []byte
	function []byte
	args     text
	result   text
	excType  text
	excText  text
}

// What a time and a duration may be at most, so that sums of them cannot overflow and another unit is noticed.
const (
	maxStamp  = 253402300799999 // the end of the year 9999 in milliseconds
	maxMicros = 1 << 52         // 142 years
)

func inRange(v, limit int64) bool { return v >= 0 && v <= limit }

func (l *line) key() spanKey { return spanKey{l.trace, l.span} }

// text is a string as it stands in a JSON document, without its quotes: most are never shown, so they are decoded only
// when they are.
type text struct {
	raw     []byte
	escaped bool // raw holds backslash escapes
}

func (t text) empty() bool { return len(t.raw) == 0 }

// decode appends the string that t stands for.
func (t text) decode(dst []byte) []byte {
	if !t.escaped {
		return append(dst, t.raw...)
	}
	b := t.raw
	for i := 0; i < len(b); {
		c := b[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch i++; b[i] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(b[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				second := rune(-1)
				if i+6 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
					second = hex4(b[i+3:])
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default: // a quote, a backslash or a slash
			dst = append(dst, b[i])
		}
		i++
	}
	return dst
}

// quote appends t as a JSON string, quotes included.
func (t text) quote(dst []byte) []byte {
	dst = append(dst, '"')
	if t.escaped || plain(t.raw) {
		dst = append(dst, t.raw...)
	} else {
		dst = escape(dst, t.raw)
	}
	return append(dst, '"')
}

// plain tells whether b needs no escape inside a JSON string.
func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// escape appends b with what JSON forbids in a string escaped. b is UTF-8.
func escape(dst, b []byte) []byte {
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// hexValue gives a hexadecimal digit's value; 255 for all other bytes.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range 16 {
		t[hexDigits[i]] = byte(i)
		t["0123456789ABCDEF"[i]] = byte(i)
	}
	return t
}()

// hex4 reads the four digits of a \u escape, or returns -1 when they are not four digits.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		v := hexValue[c]
		if v == 255 {
			return -1
		}
		r = r<<4 | rune(v)
	}
	return r
}

// hex64 reads 16 hexadecimal digits.
func hex64(b []byte) (v uint64, ok bool) {
	if len(b) != 16 {
		return 0, false
	}
	var bad byte
	for _, c := range b {
		d := hexValue[c]
		bad |= d
		v = v<<4 | uint64(d&15)
	}
	return v, bad < 16
}

func parseTrace(b []byte) (id traceID, ok bool) {
	if len(b) != 32 {
		return id, false
	}
	hi, ok1 := hex64(b[:16])
	lo, ok2 := hex64(b[16:])
	return traceID{hi, lo}, ok1 && ok2
}

func appendHex(dst []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

func (id traceID) append(dst []byte) []byte { return appendHex(appendHex(dst, id[0]), id[1]) }
func (id traceID) String() string           { return string(id.append(nil)) }
func (id spanID) append(dst []byte) []byte  { return appendHex(dst, uint64(id)) }
func (id spanID) String() string            { return string(id.append(nil)) }
