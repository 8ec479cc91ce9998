package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// parseAny reads a line of any shape that JSON allows, by encoding/json, and finds the words for a bad one.
func (p *parser) parseAny(b []byte, l *line) error {
	m := members{parser: p}
	if err := json.Unmarshal(b, &m.values); err != nil {
		syntax, ok := errors.AsType[*json.SyntaxError](err)
		switch {
		case len(b) > 0 && b[0] != '{':
			return errors.New("not a JSON object")
		case ok && syntax.Offset >= int64(len(b)):
			return fmt.Errorf("not whole: %w", err)
		}
		return fmt.Errorf("not JSON: %w", err)
	}
	if m.values == nil {
		return errors.New("not a JSON object")
	}
	*l = line{micros: -1, millis: -1}
	p.hold = p.hold[:0]

	l.stamp = m.number("timestamp")
	m.must(m.values["timestamp"] != nil, "no timestamp")
	m.must(inRange(l.stamp, maxStamp), "timestamp is not in Unix milliseconds")
	switch string(m.str("event")) {
	case "ENTER":
		l.event = enter
	case "EXIT":
		l.event = exit
	default:
		m.must(m.values["event"] != nil, "no event")
		m.must(false, "event %s is neither ENTER nor EXIT", m.values["event"])
	}
	l.thread, l.module, l.function = m.str("thread"), m.str("module"), m.str("function")
	m.must(len(l.function) > 0, "no function")

	l.args, l.result = p.any(m.values["args"]), p.any(m.values["result"])
	if raw := m.values["exception"]; !missing(raw) {
		l.failed = true
		var e map[string]json.RawMessage
		if json.Unmarshal(raw, &e) == nil {
			l.excType, l.excText = p.any(e["type"]), p.any(e["message"])
		} else {
			l.excText = p.any(raw)
		}
	}

	l.micros, l.millis = m.duration("durationMicros"), m.duration("durationMillis")
	l.trace, l.span = m.traceID("trace_id"), m.spanID("span_id")
	m.must(l.trace != traceID{}, "no trace_id")
	m.must(l.span != 0, "no span_id")
	l.parent = m.spanID("parent_span_id")
	l.linkTo = spanKey{m.traceID("linked_trace_id"), m.spanID("linked_span_id")}
	return m.err
}

// members are the members of a line's object, and the first that was found to be wrong with them.
type members struct {
	*parser
	values map[string]json.RawMessage
	err    error
}

// must notes what is wrong unless ok is true.
func (m *members) must(ok bool, format string, args ...any) {
	if !ok && m.err == nil {
		m.err = fmt.Errorf(format, args...)
	}
}

// missing reports whether a member is not there, or null.
func missing(raw json.RawMessage) bool { return raw == nil || string(raw) == "null" }

// keep holds s for as long as the line is.
func (p *parser) keep(s string) []byte {
	at := len(p.hold)
	p.hold = append(p.hold, s...)
	return p.hold[at:len(p.hold):len(p.hold)]
}

// str reads a member that must be a string; one that is missing or null is empty.
func (m *members) str(name string) []byte {
	raw := m.values[name]
	if missing(raw) {
		return nil
	}
	var s string
	m.must(json.Unmarshal(raw, &s) == nil, "%s is not a string", name)
	return m.keep(s)
}

// any reads a member of any type: a string as its text, all else as its JSON.
func (p *parser) any(raw json.RawMessage) text {
	if missing(raw) {
		return text{}
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return text{raw: p.keep(s)}
	}
	return text{raw: p.keep(string(bytes.ToValidUTF8(raw, []byte("\uFFFD"))))}
}

// number reads a member that must be a whole number, or one with a fraction that is cut off.
func (m *members) number(name string) int64 {
	raw := string(m.values[name])
	if v, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return v
	}
	f, err := strconv.ParseFloat(raw, 64)
	m.must(raw == "" || err == nil && math.Abs(f) <= 1<<60, "%s is not a number", name)
	return int64(f)
}

// duration reads a member that must be a number not below zero, or be missing: -1.
func (m *members) duration(name string) int64 {
	if missing(m.values[name]) {
		return -1
	}
	v := m.number(name)
	m.must(inRange(v, maxMicros), "%s is no duration", name)
	return v
}

func (m *members) traceID(name string) (id traceID) {
	if s := m.str(name); len(s) > 0 {
		var ok bool
		id, ok = parseTrace(s)
		m.must(ok, "%s is not 32 hexadecimal digits", name)
	}
	return id
}

func (m *members) spanID(name string) spanID {
	s := m.str(name)
	v, ok := hex64(s)
	m.must(ok || len(s) == 0, "%s is not 16 hexadecimal digits", name)
	return spanID(v)
}
