package inspect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// show2 writes a trace in FlowTrace's second schema, in the order its lines had. There every line says whose part it is,
// how deep, and what the call was given, which our EXIT lines do not: hence a trace that was put together.
//
// Times are seconds, in milliseconds' steps, as the log has them; durations are nanoseconds. Our module is both its class,
// by which some of its tools group calls, and its module, which they show where there is no class.
func (f *flowtrace) show2(v *view) error {
	ev := f.events[:0]
	for i := range v.rows {
		if s := v.rows[i].span; s.begun {
			ev = append(ev, flowEvent{s.enterSeq, i, false})
		}
		if s := v.rows[i].span; s.ended {
			ev = append(ev, flowEvent{s.exitSeq, i, true})
		}
	}
	slices.SortFunc(ev, func(a, b flowEvent) int { return cmp.Compare(a.seq, b.seq) })
	f.events = ev
	for _, e := range ev {
		r := v.read(e.at)
		f.buf = f.line2(f.buf[:0], v, r, e.exit)
		if err := f.out.write(f.buf); err != nil {
			return err
		}
	}
	return nil
}

func (f *flowtrace) line2(b []byte, v *view, r *row, exit bool) []byte {
	stamp, kind := r.start, "enter"
	if exit {
		stamp, kind = r.end, "exit"
	}
	str := func(key string, s []byte) {
		b = append(append(append(b, `,"`...), key...), `":"`...)
		b = append(escape(b, s), '"')
	}
	b = append(b, `{"ts":`...)
	b = strconv.AppendInt(b, stamp/1000, 10)
	b = append(b, '.', byte('0'+stamp/100%10), byte('0'+stamp/10%10), byte('0'+stamp%10))
	b = append(append(append(b, `,"event":"`...), kind...), `","trace_id":"`...)
	b = v.t.id.append(b)
	b = append(b, `","span_id":"`...)
	b = r.id.append(b)
	b = append(b, `","parent_id":`...)
	if r.parent != 0 {
		b = append(r.parent.append(append(b, '"')), '"')
	} else {
		b = append(b, "null"...)
	}
	str("thread", r.thread)
	b = append(b, `,"lang":"go"`...)
	str("module", []byte(r.name.module))
	str("class", []byte(r.name.module))
	str("method", []byte(r.name.function))
	b = append(b, `,"visibility":"public","depth":`...)
	b = strconv.AppendInt(b, int64(r.depth), 10)
	b = append(b, `,"args":`...)
	b = object(b, r.args)
	if exit {
		b = append(b, `,"result":`...)
		b = object(b, v.decode(r.result))
		if r.failed {
			b = append(b, `,"error":{"type":"`...)
			b = append(escape(b, v.decode(r.excType)), `","msg":"`...)
			b = append(escape(b, v.decode(r.excText)), `","stack":[]}`...)
		}
		b = append(b, `,"duration_ns":`...)
		b = strconv.AppendInt(b, r.elapsed(v.now)*1000, 10)
	}
	return append(b, '}', '\n')
}

// object appends doc if it is a JSON object, else an object that has it as text: it was cut, or is a failure's.
func object(b, doc []byte) []byte {
	if len(doc) > 0 && doc[0] == '{' && json.Valid(doc) && bytes.IndexByte(doc, '\n') < 0 {
		return append(b, doc...)
	}
	b = append(b, '{')
	if len(doc) > 0 {
		b = append(escape(append(b, `"text":"`...), doc), '"')
	}
	return append(b, '}')
}
