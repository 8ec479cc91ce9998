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
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		var syntax *json.SyntaxError
		switch {
		case len(b) > 0 && b[0] != '{':
			return errors.New("not a JSON object")
		case errors.As(err, &syntax) && syntax.Offset >= int64(len(b)):
			return fmt.Errorf("not whole: %w", err)
		}
		return fmt.Errorf("not JSON: %w", err)
	}
	if m == nil {
		return errors.New("not a JSON object")
	}
	*l = line{micros: -1, millis: -1}
	p.hold = p.hold[:0]

	var err error
	if l.stamp, err = number(m, "timestamp"); err != nil {
		return err
	}
	if m["timestamp"] == nil {
		return errors.New("no timestamp")
	}
	if !inRange(l.stamp, maxStamp) {
		return errors.New("timestamp is not in Unix milliseconds")
	}
	kind, err := p.str(m, "event")
	switch {
	case err != nil:
		return err
	case string(kind) == "ENTER":
		l.event = enter
	case string(kind) == "EXIT":
		l.event = exit
	case m["event"] == nil:
		return errors.New("no event")
	default:
		return fmt.Errorf("event %s is neither ENTER nor EXIT", m["event"])
	}
	if l.thread, err = p.str(m, "thread"); err != nil {
		return err
	}
	if l.module, err = p.str(m, "module"); err != nil {
		return err
	}
	if l.function, err = p.str(m, "function"); err != nil {
		return err
	}
	if len(l.function) == 0 {
		return errors.New("no function")
	}
	l.args = p.any(m["args"])
	l.result = p.any(m["result"])
	if raw := m["exception"]; raw != nil && string(raw) != "null" {
		l.failed = true
		var e map[string]json.RawMessage
		if json.Unmarshal(raw, &e) == nil {
			l.excType, l.excText = p.any(e["type"]), p.any(e["message"])
		} else {
			l.excText = p.any(raw)
		}
	}
	if l.micros, err = duration(m, "durationMicros"); err != nil {
		return err
	}
	if l.millis, err = duration(m, "durationMillis"); err != nil {
		return err
	}
	if l.trace, err = p.traceID(m, "trace_id"); err != nil {
		return err
	}
	if l.span, err = p.spanID(m, "span_id"); err != nil {
		return err
	}
	if l.trace == (traceID{}) {
		return errors.New("no trace_id")
	}
	if l.span == 0 {
		return errors.New("no span_id")
	}
	if l.parent, err = p.spanID(m, "parent_span_id"); err != nil {
		return err
	}
	if l.linkTo.trace, err = p.traceID(m, "linked_trace_id"); err != nil {
		return err
	}
	l.linkTo.span, err = p.spanID(m, "linked_span_id")
	return err
}

// keep holds s for as long as the line is.
func (p *parser) keep(s string) []byte {
	at := len(p.hold)
	p.hold = append(p.hold, s...)
	return p.hold[at:len(p.hold):len(p.hold)]
}

// str reads a member that must be a string; one that is missing or null is empty.
func (p *parser) str(m map[string]json.RawMessage, name string) ([]byte, error) {
	raw := m[name]
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is not a string", name)
	}
	return p.keep(s), nil
}

// any reads a member of any type: a string as its text, all else as its JSON.
func (p *parser) any(raw json.RawMessage) text {
	if raw == nil || string(raw) == "null" {
		return text{}
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return text{raw: p.keep(s)}
	}
	return text{raw: p.keep(string(bytes.ToValidUTF8(raw, []byte("\uFFFD"))))}
}

// number reads a member that must be a whole number, or one with a fraction that is cut off.
func number(m map[string]json.RawMessage, name string) (int64, error) {
	raw := string(m[name])
	if v, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return v, nil
	}
	f, err := strconv.ParseFloat(raw, 64)
	if raw != "" && (err != nil || math.Abs(f) > 1<<60) {
		return 0, fmt.Errorf("%s is not a number", name)
	}
	return int64(f), nil
}

// duration reads a member that must be a number not below zero, or be missing: -1.
func duration(m map[string]json.RawMessage, name string) (int64, error) {
	if raw := m[name]; raw == nil || string(raw) == "null" {
		return -1, nil
	}
	v, err := number(m, name)
	if err == nil && !inRange(v, maxMicros) {
		err = fmt.Errorf("%s is no duration", name)
	}
	return v, err
}

func (p *parser) traceID(m map[string]json.RawMessage, name string) (traceID, error) {
	s, err := p.str(m, name)
	if err != nil || len(s) == 0 {
		return traceID{}, err
	}
	id, ok := parseTrace(s)
	if !ok {
		return id, fmt.Errorf("%s is not 32 hexadecimal digits", name)
	}
	return id, nil
}

func (p *parser) spanID(m map[string]json.RawMessage, name string) (spanID, error) {
	s, err := p.str(m, name)
	if err != nil || len(s) == 0 {
		return 0, err
	}
	v, ok := hex64(s)
	if !ok {
		return 0, fmt.Errorf("%s is not 16 hexadecimal digits", name)
	}
	return spanID(v), nil
}
