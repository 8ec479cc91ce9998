package inspect

import "unicode/utf8"

// parser turns lines of the trace log into line values. The zero value is ready. One goroutine at a time.
type parser struct {
	hold []byte // what the slow path decoded, for as long as the line is
}

// parse reads b, one line without its newline, into l. The error says what is wrong with the line, in words for the user.
//
// Lines in the shape that the server writes are read by hand in one pass that allocates nothing. Whatever has another
// shape (spaces, escapes where none are expected, numbers with a fraction, …) is left to encoding/json.
func (p *parser) parse(b []byte, l *line) error {
	if scanLine(b, l) {
		return nil
	}
	return p.parseAny(b, l)
}

// Fields seen, for the ones a line cannot do without.
const (
	sawStamp = 1 << iota
	sawEvent
	sawFunction
	sawTrace
	sawSpan
	sawAll = 1<<iota - 1
)

// scanLine reads a line in the server's own shape. False means that the line must be read the slow way, which also finds
// the words for what may be wrong with it.
func scanLine(b []byte, l *line) bool {
	*l = line{micros: -1, millis: -1}
	if len(b) < 2 || b[0] != '{' {
		return false
	}
	seen := 0
	for i := 1; ; {
		if i >= len(b) || b[i] != '"' {
			return false
		}
		k, end, ok := scanString(b, i+1)
		if !ok || k.escaped || end >= len(b) || b[end] != ':' {
			return false
		}
		i = end + 1
		switch string(k.raw) {
		case "timestamp":
			l.stamp, i, ok = scanInt(b, i)
			ok = ok && inRange(l.stamp, maxStamp)
			seen |= sawStamp
		case "event":
			var v []byte
			if v, i, ok = scanPlain(b, i); ok {
				switch string(v) {
				case "ENTER":
					l.event = enter
				case "EXIT":
					l.event = exit
				default:
					return false
				}
			}
			seen |= sawEvent
		case "thread":
			l.thread, i, ok = scanPlain(b, i)
		case "module":
			l.module, i, ok = scanPlain(b, i)
		case "function":
			l.function, i, ok = scanPlain(b, i)
			ok = ok && len(l.function) > 0
			seen |= sawFunction
		case "args":
			l.args, i, ok = scanText(b, i)
		case "result":
			l.result, i, ok = scanText(b, i)
		case "exception":
			if i, ok = scanException(b, i, l); ok {
				l.failed = true
			}
		case "durationMicros":
			l.micros, i, ok = scanInt(b, i)
			ok = ok && inRange(l.micros, maxMicros)
		case "durationMillis":
			l.millis, i, ok = scanInt(b, i)
			ok = ok && inRange(l.millis, maxMicros)
		case "trace_id":
			l.trace, i, ok = scanTraceID(b, i)
			ok = ok && l.trace != traceID{}
			seen |= sawTrace
		case "span_id":
			l.span, i, ok = scanSpanID(b, i)
			ok = ok && l.span != 0
			seen |= sawSpan
		case "parent_span_id":
			l.parent, i, ok = scanSpanID(b, i)
		case "linked_trace_id":
			l.linkTo.trace, i, ok = scanTraceID(b, i)
		case "linked_span_id":
			l.linkTo.span, i, ok = scanSpanID(b, i)
		default:
			i, ok = scanValue(b, i, 0)
		}
		if !ok || i >= len(b) {
			return false
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			return i == len(b)-1 && seen == sawAll
		default:
			return false
		}
	}
}

// Classes of bytes inside a JSON string.
const (
	inPlain = iota
	inQuote
	inEscape
	inHigh // part of a rune that is not ASCII
	inBad  // a control character
)

var class = func() (t [256]byte) {
	for c := range t {
		switch {
		case c < ' ':
			t[c] = inBad
		case c == '"':
			t[c] = inQuote
		case c == '\\':
			t[c] = inEscape
		case c >= utf8.RuneSelf:
			t[c] = inHigh
		}
	}
	return t
}()

// scanString reads the string whose opening quote stands before i, and returns the index after its closing quote.
func scanString(b []byte, i int) (t text, end int, ok bool) {
	start, high := i, false
	for {
		for i < len(b) && class[b[i]] == inPlain {
			i++
		}
		if i >= len(b) {
			return t, i, false
		}
		switch class[b[i]] {
		case inQuote:
			t.raw = b[start:i:i]
			return t, i + 1, !high || utf8.Valid(t.raw)
		case inEscape:
			t.escaped = true
			if i+1 >= len(b) {
				return t, i, false
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if hex4(b[i+2:]) < 0 {
					return t, i, false
				}
				i += 6
			default:
				return t, i, false
			}
		case inHigh:
			high = true
			i++
		default:
			return t, i, false
		}
	}
}

// scanText reads a string that may hold escapes.
func scanText(b []byte, i int) (t text, end int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return t, i, false
	}
	return scanString(b, i+1)
}

// scanPlain reads a string without escapes.
func scanPlain(b []byte, i int) (s []byte, end int, ok bool) {
	t, end, ok := scanText(b, i)
	return t.raw, end, ok && !t.escaped
}

func scanTraceID(b []byte, i int) (id traceID, end int, ok bool) {
	if i+34 > len(b) || b[i] != '"' || b[i+33] != '"' {
		return id, i, false
	}
	id, ok = parseTrace(b[i+1 : i+33])
	return id, i + 34, ok
}

func scanSpanID(b []byte, i int) (id spanID, end int, ok bool) {
	if i+18 > len(b) || b[i] != '"' || b[i+17] != '"' {
		return id, i, false
	}
	v, ok := hex64(b[i+1 : i+17])
	return spanID(v), i + 18, ok
}

// scanInt reads an integer of at most 18 digits.
func scanInt(b []byte, i int) (v int64, end int, ok bool) {
	negative := false
	if i < len(b) && b[i] == '-' {
		negative = true
		i++
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		v = v*10 + int64(b[i]-'0')
		i++
	}
	n := i - start
	if n == 0 || n > 18 || n > 1 && b[start] == '0' {
		return 0, i, false
	}
	if i < len(b) && (b[i] == '.' || b[i] == 'e' || b[i] == 'E') {
		return 0, i, false
	}
	if negative {
		v = -v
	}
	return v, i, true
}

// scanException reads {"type":"…","message":"…"}; other members are passed over.
func scanException(b []byte, i int, l *line) (end int, ok bool) {
	if i >= len(b) || b[i] != '{' {
		return i, false
	}
	l.excType, l.excText = text{}, text{}
	for i++; ; {
		if i >= len(b) || b[i] != '"' {
			return i, false
		}
		k, at, ok := scanString(b, i+1)
		if !ok || k.escaped || at >= len(b) || b[at] != ':' {
			return i, false
		}
		i = at + 1
		switch string(k.raw) {
		case "type":
			l.excType, i, ok = scanText(b, i)
		case "message":
			l.excText, i, ok = scanText(b, i)
		default:
			i, ok = scanValue(b, i, 1)
		}
		if !ok || i >= len(b) {
			return i, false
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			return i + 1, true
		default:
			return i, false
		}
	}
}

// maxDepth bounds the nesting of values that scanValue passes over.
const maxDepth = 32

// scanValue passes over any value written without spaces.
func scanValue(b []byte, i, depth int) (end int, ok bool) {
	if i >= len(b) || depth > maxDepth {
		return i, false
	}
	switch c := b[i]; {
	case c == '"':
		_, i, ok = scanString(b, i+1)
		return i, ok
	case c == '-' || c-'0' <= 9:
		return scanNumber(b, i)
	case c == 't':
		return scanWord(b, i, "true")
	case c == 'f':
		return scanWord(b, i, "false")
	case c == 'n':
		return scanWord(b, i, "null")
	case c == '[':
		if i++; i < len(b) && b[i] == ']' {
			return i + 1, true
		}
		for {
			if i, ok = scanValue(b, i, depth+1); !ok || i >= len(b) {
				return i, false
			}
			switch b[i] {
			case ',':
				i++
			case ']':
				return i + 1, true
			default:
				return i, false
			}
		}
	case c == '{':
		if i++; i < len(b) && b[i] == '}' {
			return i + 1, true
		}
		for {
			if _, i, ok = scanText(b, i); !ok || i >= len(b) || b[i] != ':' {
				return i, false
			}
			if i, ok = scanValue(b, i+1, depth+1); !ok || i >= len(b) {
				return i, false
			}
			switch b[i] {
			case ',':
				i++
			case '}':
				return i + 1, true
			default:
				return i, false
			}
		}
	}
	return i, false
}

// scanNumber passes over a number as RFC 8259, section 6, has it.
func scanNumber(b []byte, i int) (end int, ok bool) {
	digits := func() bool {
		start := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > start
	}
	if b[i] == '-' {
		i++
	}
	start := i
	if !digits() || i-start > 1 && b[start] == '0' {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return i, digits()
	}
	return i, true
}

func scanWord(b []byte, i int, word string) (end int, ok bool) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, false
	}
	return i + len(word), true
}
