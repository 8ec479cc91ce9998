package inspect

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// jsonTrace appends a trace as one line of JSON.
func jsonTrace(b []byte, v *view, marks bool) []byte {
	start, micros := v.t.bounds(v.now)
	failed := 0
	for _, r := range v.rows {
		if r.failed {
			failed++
		}
	}
	b = append(b, `{"trace_id":"`...)
	b = v.t.id.append(b)
	b = append(b, `","start":`...)
	b = strconv.AppendInt(b, start, 10)
	b = append(b, `,"duration_micros":`...)
	b = strconv.AppendInt(b, micros, 10)
	b = append(b, `,"failed":`...)
	b = strconv.AppendInt(b, int64(failed), 10)
	b = append(b, `,"open":`...)
	b = strconv.AppendInt(b, int64(v.t.open), 10)
	b = append(b, `,"continued":`...)
	b = strconv.AppendBool(b, v.t.continued)
	b = append(b, `,"cut_short":`...)
	b = strconv.AppendBool(b, v.t.hurried)
	b = append(b, `,"spans":[`...)
	for i := range v.rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsonSpan(b, v, i, marks)
	}
	return append(b, "]}\n"...)
}

// jsonSpan appends one span as JSON.
func jsonSpan(b []byte, v *view, i int, marks bool) []byte {
	r := v.read(i)
	str := func(key, s string) {
		b = append(append(append(b, '"'), key...), `":"`...)
		b = append(escape(b, []byte(s)), `",`...)
	}
	num := func(key string, n int64) {
		b = append(append(append(b, '"'), key...), `":`...)
		b = append(strconv.AppendInt(b, n, 10), ',')
	}
	document := func(key string, doc []byte) {
		if len(doc) == 0 {
			return
		}
		b = append(append(append(b, '"'), key...), `":`...)
		if (doc[0] == '{' || doc[0] == '[') && json.Valid(doc) && bytes.IndexByte(doc, '\n') < 0 {
			b = append(b, doc...)
		} else {
			b = append(escape(append(b, '"'), doc), '"')
		}
		b = append(b, ',')
	}
	b = append(b, '{')
	str("trace_id", v.t.id.String())
	str("span_id", r.id.String())
	if r.parent != 0 {
		str("parent_span_id", r.parent.String())
	}
	if r.linkTo.span != 0 {
		str("linked_trace_id", r.linkTo.trace.String())
		str("linked_span_id", r.linkTo.span.String())
	}
	num("depth", int64(r.depth))
	str("thread", string(r.thread))
	str("module", r.name.module)
	str("function", r.name.function)
	num("start", r.start)
	num("duration_micros", r.elapsed(v.now))
	str("status", r.status())
	if len(r.connection) > 0 {
		str("connection", string(r.connection))
	}
	if len(r.room) > 0 {
		str("room", string(r.room))
	}
	if len(r.client) > 0 {
		str("client", string(r.client))
	}
	document("args", r.args)
	document("result", v.decode(r.result))
	if r.failed {
		b = append(b, `"exception":{`...)
		str("type", string(v.decode(r.excType)))
		str("message", string(v.decode(r.excText)))
		b[len(b)-1] = '}'
		b = append(b, ',')
	}
	if marks {
		b = append(append(b, `"matched":`...), strconv.FormatBool(r.match)...)
		b = append(b, ',')
	}
	b[len(b)-1] = '}'
	return b
}
