package inspect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// top counts operations by function.
type top struct {
	paint
	filter filter
	names  names
	view   view
	w      io.Writer
	json   bool
	sort   string
	redraw bool // the table is written over again while the log is followed
	drawn  time.Time
	dirty  bool

	by map[*name]*figures
}

type figures struct {
	name   *name
	errors int64
	histogram
}

func (t *top) count(n *name, micros int64, failed bool) {
	f := t.by[n]
	if f == nil {
		f = &figures{name: n}
		if t.by == nil {
			t.by = make(map[*name]*figures)
		}
		t.by[n] = f
	}
	f.add(micros)
	if failed {
		f.errors++
	}
	t.dirty = true
}

// exits is a reading that counts EXIT lines as they come: all that it takes unless the filter needs to see ENTERs.
type exits struct {
	*top
	only func(*line) bool
}

func (e exits) line(l *line, _ place) error {
	if l.event != exit {
		return nil
	}
	micros := l.micros
	if micros < 0 {
		micros = max(0, l.millis) * 1000
	}
	f := &e.filter
	if micros < f.slow || f.errors && !l.failed || e.only != nil && !e.only(l) {
		return nil
	}
	n := e.names.of(l)
	if f.names(n) {
		e.count(n, micros, l.failed)
	}
	if e.redraw && e.drawn.IsZero() {
		return e.draw()
	}
	return nil
}

func (e exits) idle() error { return e.again() }
func (e exits) end() error  { return e.draw() }

// show counts what an assembler put together.
func (t *top) show(tr *trace, now int64) error {
	if !t.filter.possible(tr) {
		return nil
	}
	t.view.lay(tr, now)
	t.filter.mark(&t.view)
	for i := range t.view.rows {
		if r := &t.view.rows[i]; r.match && r.ended {
			t.count(r.name, r.elapsed(now), r.failed)
		}
	}
	return nil
}

// again redraws the table at most once a second.
func (t *top) again() error {
	if !t.redraw || !t.dirty || time.Since(t.drawn) < time.Second {
		return nil
	}
	return t.draw()
}

// orders are the columns that the table can be sorted by, largest first.
var orders = map[string]func(*figures) int64{
	"total":  func(f *figures) int64 { return f.total },
	"count":  func(f *figures) int64 { return f.n },
	"errors": func(f *figures) int64 { return f.errors },
	"p50":    func(f *figures) int64 { return f.quantile(0.50) },
	"p95":    func(f *figures) int64 { return f.quantile(0.95) },
	"p99":    func(f *figures) int64 { return f.quantile(0.99) },
	"max":    func(f *figures) int64 { return f.max },
}

func (t *top) sorted() []*figures {
	all := make([]*figures, 0, len(t.by))
	for _, f := range t.by {
		all = append(all, f)
	}
	key := orders[t.sort]
	slices.SortFunc(all, func(a, b *figures) int {
		return cmp.Or(cmp.Compare(key(b), key(a)), cmp.Compare(b.total, a.total), strings.Compare(a.name.full, b.name.full))
	})
	return all
}

func (t *top) draw() error {
	t.drawn, t.dirty = time.Now(), false
	all := t.sorted()
	if t.json {
		return t.drawJSON(all)
	}
	width := len("function")
	for _, f := range all {
		width = max(width, utf8.RuneCountInString(cleaned(f.name.full)))
	}
	var b []byte
	if t.redraw {
		b = append(b, "\x1b[H\x1b[2J"...)
	}
	heads := []string{"count", "errors", "total ms", "p50 ms", "p95 ms", "p99 ms", "max ms"}
	widths := []int{11, 9, 16, 12, 12, 12, 12}
	line := left(nil, width, "function")
	for i, h := range heads {
		line = right(append(line, ' '), widths[i], h)
	}
	b = append(t.as(b, bold, string(line)), '\n')
	for _, f := range all {
		b = left(b, width, cleaned(f.name.full))
		b = right(append(b, ' '), widths[0], group(f.n))
		errors := string(right(nil, widths[1], group(f.errors)))
		if b = append(b, ' '); f.errors > 0 {
			b = t.as(b, red, errors)
		} else {
			b = append(b, errors...)
		}
		for i, v := range []int64{f.total, f.quantile(0.50), f.quantile(0.95), f.quantile(0.99), f.max} {
			b = right(append(b, ' '), widths[i+2], string(appendMillis(nil, v)))
		}
		b = append(b, '\n')
	}
	b = t.as(b, dim, fmt.Sprintf("quantiles are within %.1f %%; all else is exact", maxError*100))
	_, err := t.w.Write(append(b, '\n'))
	return err
}

func (t *top) drawJSON(all []*figures) error {
	type function struct {
		Module   string `json:"module"`
		Function string `json:"function"`
		Count    int64  `json:"count"`
		Errors   int64  `json:"errors"`
		Total    int64  `json:"total_micros"`
		P50      int64  `json:"p50_micros"`
		P95      int64  `json:"p95_micros"`
		P99      int64  `json:"p99_micros"`
		Max      int64  `json:"max_micros"`
	}
	out := struct {
		Functions []function `json:"functions"`
		Error     float64    `json:"quantile_error"`
	}{[]function{}, maxError}
	for _, f := range all {
		out.Functions = append(out.Functions, function{
			f.name.module, f.name.function, f.n, f.errors, f.total,
			f.quantile(0.50), f.quantile(0.95), f.quantile(0.99), f.max,
		})
	}
	return json.NewEncoder(t.w).Encode(out)
}
