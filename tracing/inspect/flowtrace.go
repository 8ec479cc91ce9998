package inspect

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// maxPerMethod is how many EXIT lines of one method the FlowTrace analyzer surely takes in one file: it hands all their
// durations to one function call, which its engine refuses somewhere above.
const maxPerMethod = 100_000

// flowtrace writes a log as the FlowTrace tools read it: in their first schema, class and method for module and function, milliseconds, one EXIT
// a call with its exception on it, and on failures a result that begins with "error: ", which their search for errors finds; or in their second, see show2.
type flowtrace struct {
	out   *parts
	buf   []byte
	names names
	exits map[*name]int64 // in the current file
	warn  *name           // has more EXITs in one file than the analyzer takes
	file  int

	events []flowEvent // of one trace, when filtered
}

func (f *flowtrace) line(l *line, _ place) error {
	b := append(f.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, l.stamp, 10)
	if l.event == enter {
		b = append(b, `,"event":"ENTER","thread":`...)
	} else {
		b = append(b, `,"event":"EXIT","thread":`...)
	}
	b = text{raw: l.thread}.quote(b)
	b = append(b, `,"class":`...)
	b = text{raw: l.module}.quote(b)
	b = append(b, `,"method":`...)
	b = text{raw: l.function}.quote(b)
	if l.event == enter {
		b = append(b, `,"args":`...)
		b = l.args.quote(b)
	} else {
		b = append(b, `,"result":`...)
		switch {
		case !l.failed || bytes.HasPrefix(l.result.raw, []byte("error: ")):
			b = l.result.quote(b)
		case l.result.empty():
			b = append(b, `"error: `...)
			b = append(b, l.excText.quote(nil)[1:]...)
		default:
			b = append(b, `"error: `...)
			b = append(b, l.result.quote(nil)[1:]...)
		}
		if l.failed {
			b = append(b, `,"exception":{"type":`...)
			b = l.excType.quote(b)
			b = append(b, `,"message":`...)
			b = append(l.excText.quote(b), '}')
		}
		micros := max(0, l.micros)
		if l.micros < 0 {
			micros = max(0, l.millis) * 1000
		}
		b = append(b, `,"durationMicros":`...)
		b = strconv.AppendInt(b, micros, 10)
		b = append(b, `,"durationMillis":`...)
		b = strconv.AppendInt(b, micros/1000, 10)
	}
	b = append(b, `,"traceId":"`...)
	b = l.trace.append(b)
	b = append(b, `","spanId":"`...)
	b = append(l.span.append(b), '"')
	if l.parent != 0 {
		b = append(b, `,"parentSpanId":"`...)
		b = append(l.parent.append(b), '"')
	}
	if l.linkTo.span != 0 {
		b = append(b, `,"linkedTraceId":"`...)
		b = l.linkTo.trace.append(b)
		b = append(b, `","linkedSpanId":"`...)
		b = append(l.linkTo.span.append(b), '"')
	}
	f.buf = append(b, '}', '\n')
	if err := f.out.write(f.buf); err != nil {
		return err
	}
	if l.event == exit {
		f.count(f.names.of(l))
	}
	return nil
}

func (f *flowtrace) count(n *name) {
	if f.file != f.out.files || f.exits == nil {
		f.file = f.out.files
		f.exits = make(map[*name]int64)
	}
	if f.exits[n]++; f.exits[n] > maxPerMethod && f.warn == nil {
		f.warn = n
	}
}

func (f *flowtrace) idle() error { return f.out.flush() }
func (f *flowtrace) end() error  { return f.out.flush() }

// flowEvent is one of a span's two lines.
type flowEvent struct {
	seq  int64
	at   int // which span of the trace
	exit bool
}

// show writes a trace that was put together, in the order its lines had.
func (f *flowtrace) show(t *trace) error {
	ev := f.events[:0]
	for i, s := range t.spans {
		if s.begun {
			ev = append(ev, flowEvent{s.enterSeq, i, false})
		}
		if s.ended {
			ev = append(ev, flowEvent{s.exitSeq, i, true})
		}
	}
	slices.SortFunc(ev, func(a, b flowEvent) int { return cmp.Compare(a.seq, b.seq) })
	f.events = ev
	for _, e := range ev {
		s := t.spans[e.at]
		l := line{
			event: enter, stamp: s.start, micros: -1, millis: -1, trace: t.id, span: s.id, parent: s.parent, linkTo: s.linkTo,
			thread: s.thread, module: []byte(s.name.module), function: []byte(s.name.function), args: s.args,
		}
		if e.exit {
			l.event, l.stamp, l.micros, l.failed = exit, s.end, s.micros, s.failed
			l.result, l.excType, l.excText = s.result, s.excType, s.excText
			l.parent, l.linkTo = 0, spanKey{}
		}
		if err := f.line(&l, place{}); err != nil {
			return err
		}
	}
	return nil
}

// parts writes lines to one file, or to several of at most so many lines each: OUT-0001.jsonl, OUT-0002.jsonl, …
type parts struct {
	path  string // of the file; empty for w
	max   int64  // lines a file; 0 for one file
	w     *bufio.Writer
	f     *os.File
	lines int64 // in this file
	total int64
	files int
	names []string
}

func newParts(path string, max int64, stdout io.Writer) *parts {
	p := &parts{path: path, max: max}
	if path == "" {
		p.w = bufio.NewWriterSize(stdout, 64<<10)
	}
	return p
}

func (p *parts) write(line []byte) error {
	if p.path != "" && (p.f == nil || p.max > 0 && p.lines == p.max) {
		if err := p.begin(); err != nil {
			return err
		}
	}
	p.lines++
	p.total++
	_, err := p.w.Write(line)
	return err
}

// begin starts the first or the next file.
func (p *parts) begin() error {
	if err := p.close(); err != nil {
		return err
	}
	name := p.path
	if p.max > 0 {
		name = fmt.Sprintf("%s-%04d.jsonl", strings.TrimSuffix(p.path, ".jsonl"), p.files+1)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	p.f, p.lines = f, 0
	p.files++
	p.names = append(p.names, name)
	if p.w == nil {
		p.w = bufio.NewWriterSize(f, 256<<10)
	} else {
		p.w.Reset(f)
	}
	return nil
}

func (p *parts) flush() error {
	if p.w == nil {
		return nil
	}
	return p.w.Flush()
}

// close ends the current file.
func (p *parts) close() error {
	err := p.flush()
	if p.f != nil {
		err = errors.Join(err, p.f.Close())
		p.f = nil
	}
	return err
}
