package inspect

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// tree writes traces as call trees, for people.
type tree struct {
	paint
	w    io.Writer
	zone *time.Location
	wide bool // all of args and results, uncut
	ids  bool // roots name their trace

	buf, detail, value []byte

	said  [][]byte
	space int    // runes that the row's details may still take
	last  []bool // by depth: whether the row drawn last there was its parent's last child
}

// What a row takes at most, unless wide.
const (
	maxDetail = 110 // runes of args and result
	maxValue  = 48  // runes of one value
	maxIndent = 24  // levels that are drawn; what is deeper says how deep
	maxName   = 44  // runes that names are aligned to
)

const stamps = "2006-01-02 15:04:05.000"

// write writes all of v under a heading. With marks, rows that the filter asked for are pointed out.
func (t *tree) write(v *view, marks bool) error {
	start, micros := v.t.bounds(v.now)
	failed := 0
	for _, r := range v.rows {
		if r.failed {
			failed++
		}
	}
	b := t.buf[:0]
	b = t.as(b, bold, time.UnixMilli(start).In(t.zone).Format(stamps))
	b = append(b, "  trace "...)
	b = t.as(b, cyan, v.t.id.String())
	b = append(b, "  "...)
	b = append(b, plural(int64(len(v.rows)), "span")...)
	b = append(b, "  "...)
	b = appendMillis(b, micros)
	b = append(b, " ms"...)
	if failed > 0 {
		b = t.as(append(b, "  "...), red, fmt.Sprint(failed, " FAILED"))
	}
	if v.t.open > 0 {
		b = t.as(append(b, "  "...), yellow, fmt.Sprint(v.t.open, " OPEN"))
	}
	if v.t.continued {
		b = t.as(b, yellow, "  continued: an earlier part is above")
	}
	if v.t.hurried {
		b = t.as(b, yellow, "  shown before its end: too much to hold")
	}
	b = append(b, '\n')
	t.buf = b
	if err := t.rows(v, start, marks, nil); err != nil {
		return err
	}
	t.buf = append(t.buf, '\n')
	return t.flush()
}

// rows writes the rows of v that are wanted (all when want is nil) with times since start, in milliseconds.
func (t *tree) rows(v *view, start int64, marks bool, want func(*row) bool) error {
	width := 0
	for i := range v.rows {
		r := &v.rows[i]
		width = max(width, 3*min(r.depth, maxIndent)+utf8.RuneCountInString(r.name.full))
	}
	width = min(width, maxName)
	for i := range v.rows {
		r := &v.rows[i]
		if want != nil && !want(r) {
			continue
		}
		t.row(v, i, start, width, marks)
		if len(t.buf) > 64<<10 {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) flush() error {
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// row writes one row:
//
//	>  +12       0.740  │  ├─ store.append  size=6 → seq=42
func (t *tree) row(v *view, i int, start int64, width int, marks bool) {
	r := v.read(i)
	b := t.buf
	switch {
	case marks && r.match:
		b = append(b, "> "...)
	default:
		b = append(b, "  "...)
	}
	b = t.as(b, dim, string(right(nil, 8, "+"+group(max(0, r.start-start)))))
	took := "open"
	if r.ended {
		took = "?"
		if r.micros >= 0 {
			took = string(appendMillis(nil, r.micros))
		}
		b = right(b, 13, took)
	} else {
		b = t.as(b, yellow, string(right(nil, 13, took)))
	}
	b = append(b, "  "...)

	for len(t.last) <= r.depth {
		t.last = append(t.last, false)
	}
	t.last[r.depth] = r.last
	var gutter strings.Builder
	for d := 1; d < min(r.depth, maxIndent); d++ {
		if t.last[d] {
			gutter.WriteString("   ")
		} else {
			gutter.WriteString("│  ")
		}
	}
	if r.depth > 0 {
		switch {
		case r.last && r.async:
			gutter.WriteString("└╌ ")
		case r.last:
			gutter.WriteString("└─ ")
		case r.async:
			gutter.WriteString("├╌ ")
		default:
			gutter.WriteString("├─ ")
		}
	}
	b = t.as(b, dim, gutter.String())
	pad := max(0, width-utf8.RuneCountInString(gutter.String()))
	full := cleaned(r.name.full)
	if r.failed {
		b = t.as(b, red, full)
	} else {
		b = append(b, full...)
	}
	detail := t.details(v, r)
	if len(detail) > 0 {
		b = left(b, pad-utf8.RuneCountInString(full)+2, "")
		b = append(b, detail...)
	}
	t.buf = append(b, '\n')
}

// details says what matters of a row: what it was called with beyond what its parent was, what it gave, how it failed.
func (t *tree) details(v *view, r *row) []byte {
	d := t.detail[:0]
	if r.depth > maxIndent {
		d = fmt.Appendf(d, "(level %d) ", r.depth)
	}
	if r.failed {
		d = t.as(d, red, "FAILED")
		d = append(d, ' ')
		d = clean(d, v.decode(r.excType))
		if !r.excType.empty() && !r.excText.empty() {
			d = append(d, ": "...)
		}
		d = append(clean(d, v.decode(r.excText)), "  "...)
	}
	if !r.ended {
		d = t.as(d, yellow, "OPEN")
		d = fmt.Appendf(d, " for %s ms  ", appendMillis(nil, r.elapsed(v.now)))
	}
	if !r.begun {
		d = append(d, "(began before what is shown)  "...)
	}
	var up *row
	if r.up >= 0 {
		up = &v.rows[r.up]
	}
	t.space = maxDetail
	said := t.said[:0]
	if up != nil {
		said = append(said, up.args)
	}
	d = t.members(d, v, r.args, said, "")
	if !r.failed {
		said = append(said, r.args)
		d = t.members(d, v, v.decode(r.result), said, "→ ")
	}
	t.said = said
	if t.ids && r.up < 0 {
		d = fmt.Appendf(append(d, ' '), "trace=%s ", v.t.id)
	}
	if r.linked {
		d = fmt.Appendf(d, "parent=%s elsewhere ", r.parent)
	}
	if t.wide && r.linkTo.span != 0 {
		d = fmt.Appendf(d, "link=%s-%s ", r.linkTo.trace, r.linkTo.span)
	}
	d = bytes.TrimRight(d, " ")
	t.detail = d
	return d
}

// short names members that stand on nearly every row.
var short = map[string]string{
	"room_id": "room", "chatroom_id": "room", "client_id": "client", "user_id": "user", "connection_id": "connection",
}

// members appends name=value for each member of an object, or the text of what is none, behind a lead. Left out, unless
// wide, are what was said already, and identifiers that people do not know things by.
func (t *tree) members(d []byte, v *view, b []byte, said [][]byte, lead string) []byte {
	if len(b) == 0 {
		return d
	}
	add := func(label, text []byte, quoted bool) bool {
		t.value = clean(t.value[:0], text)
		if !t.wide {
			t.value = shorten(t.value, maxValue)
			t.space -= utf8.RuneCount(label) + utf8.RuneCount(t.value) + 2
			if t.space < 0 {
				d = append(d, "… "...)
				return false
			}
		}
		d = append(d, lead...)
		lead = ""
		if len(label) > 0 {
			d = t.as(d, dim, string(label)+"=")
		}
		if quoted {
			d = append(append(append(d, '"'), t.value...), '"')
		} else {
			d = append(d, t.value...)
		}
		d = append(d, ' ')
		return true
	}
	if b[0] != '{' {
		add(nil, b, false)
		return d
	}
	f := over(b)
	for {
		k, val, ok := f.next()
		if !ok {
			break
		}
		if len(val.raw) == 0 || string(val.raw) == "null" {
			continue
		}
		key := string(k.raw)
		text := v.decode(val.text)
		label, known := short[key]
		switch {
		case !t.wide && says(said, key, val):
			continue
		case !known && !t.wide && strings.HasSuffix(key, "_id"):
			continue
		case !known:
			label = cleaned(key)
		}
		if !add([]byte(label), text, val.isString && bytes.IndexByte(text, ' ') >= 0) {
			return d
		}
	}
	if bytes.HasSuffix(b, []byte(cut)) {
		d = append(d, "… "...)
	}
	return d
}

// says tells whether one of the objects has the same member.
func says(objects [][]byte, key string, val value) bool {
	for _, b := range objects {
		f := over(b)
		for {
			k, v, ok := f.next()
			if !ok {
				break
			}
			if string(k.raw) == key && bytes.Equal(v.raw, val.raw) {
				return true
			}
		}
	}
	return false
}
