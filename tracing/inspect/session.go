package inspect

import (
	"fmt"
	"time"
)

// session shows all that one connection did, in order, across its traces.
type session struct {
	view   view
	filter filter
	tree   tree
	json   bool

	start, end       int64 // Unix milliseconds
	operations       int64
	traces           int64
	failed, unclosed int64
}

func (s *session) show(t *trace, now int64) error {
	if !s.filter.possible(t) {
		return nil
	}
	v := &s.view
	v.lay(t, now)
	if s.filter.mark(v) == 0 {
		return nil
	}
	first := s.traces == 0
	s.traces++
	var root *row
	for i := range v.rows {
		r := &v.rows[i]
		if !r.match {
			continue
		}
		if root == nil {
			root = v.read(i)
			if first {
				s.start = r.start
			}
		}
		s.operations++
		s.end = max(s.end, r.start+r.elapsed(now)/1000)
		if r.failed {
			s.failed++
		}
		if !r.ended {
			s.unclosed++
		}
	}
	b := &s.tree.buf
	if s.json {
		for i := range v.rows {
			if v.rows[i].match {
				*b = append(jsonSpan(*b, v, i, false), '\n')
			}
		}
		return s.tree.flush()
	}
	if first {
		*b = append(*b, "connection "...)
		*b = s.tree.as(*b, cyan, cleaned(s.filter.connection))
		if len(root.client) > 0 {
			*b = clean(append(*b, "  client "...), root.client)
		}
		if len(root.room) > 0 {
			*b = clean(append(*b, "  room "...), root.room)
		}
		*b = append(*b, "  "...)
		*b = s.tree.as(*b, bold, time.UnixMilli(s.start).In(s.tree.zone).Format(stamps))
		*b = append(*b, '\n')
	}
	if err := s.tree.rows(v, s.start, false, func(r *row) bool { return r.match }); err != nil {
		return err
	}
	return s.tree.flush()
}

// sum ends the account.
func (s *session) sum() error {
	if s.json || s.traces == 0 {
		return nil
	}
	t := &s.tree
	t.buf = append(t.buf, "  "...)
	t.buf = append(t.buf, plural(s.operations, "operation")...)
	t.buf = append(t.buf, " in "...)
	t.buf = append(t.buf, plural(s.traces, "trace")...)
	t.buf = fmt.Appendf(t.buf, " over %s", time.Duration(s.end-s.start)*time.Millisecond)
	if s.failed > 0 {
		t.buf = t.as(t.buf, red, fmt.Sprintf(", %s failed", group(s.failed)))
	}
	if s.unclosed > 0 {
		t.buf = t.as(t.buf, yellow, fmt.Sprintf(", %s open", group(s.unclosed)))
	}
	t.buf = append(t.buf, '\n')
	return t.flush()
}
