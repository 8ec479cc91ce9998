package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// reading takes what a log has, in its order.
type reading interface {
	// line takes a line; both l and what it points to are valid for the call only.
	line(l *line, at place) error
	// idle hears, about every poll, that a log that may grow has nothing new.
	idle() error
	// end hears that there is no more.
	end() error
}

// complaints tells the user which lines could not be read, and counts them.
type complaints struct {
	w     io.Writer
	bad   int64
	torn  *place // the last line, which the log ends in the middle of
	heard func(at place, why error)
	hole  func(at place, h hole)
	holes int64 // lines that are missing
}

// maxComplaints is how many bad lines are named; the rest are counted.
const maxComplaints = 20

func (c *complaints) line(at place, why error) {
	c.bad++
	if c.heard != nil {
		c.heard(at, why)
		return
	}
	if c.bad <= maxComplaints {
		fmt.Fprintf(c.w, "%s:%d: %v\n", at.file, at.line, why)
	}
	if c.bad == maxComplaints {
		fmt.Fprintf(c.w, "inspect: further bad lines are only counted\n")
	}
}

// missing tells of lines that the log's writer could not write.
func (c *complaints) missing(at place, h hole) {
	c.holes += h.lines
	if c.hole != nil {
		c.hole(at, h)
	}
}

// note tells something that is no fault of the log's.
func (c *complaints) note(s string) { fmt.Fprintf(c.w, "inspect: %s\n", s) }

// end sums up.
func (c *complaints) end() {
	if c.torn != nil && c.heard == nil {
		c.note(fmt.Sprintf("%s ends in the middle of line %d: it is still being written, or its writer was killed", c.torn.file, c.torn.line))
	}
	if c.holes > 0 && c.heard == nil {
		c.note(fmt.Sprintf("%s could not be written to the log and are missing", plural(c.holes, "line")))
	}
	if c.bad > 0 && c.heard == nil {
		c.note(fmt.Sprintf("%s could not be read", plural(c.bad, "line")))
	}
}

// read gives all of src to r. It returns nil at the end of all input and when ctx ends, having told r of its end; any
// other error is the source's or r's.
func read(ctx context.Context, src source, r reading, c *complaints) error {
	var (
		in = newLines(src)
		p  parser
		l  line
	)
	for {
		b, whole, err := in.next(ctx)
		switch {
		case err == nil:
		case err == errIdle:
			if err := r.idle(); err != nil {
				return err
			}
			continue
		case err == errLong:
			c.line(in.at, err)
			continue
		case err == io.EOF || ctx.Err() != nil && errors.Is(err, ctx.Err()):
			err := r.end()
			c.end()
			return err
		default:
			// What was read is shown all the same.
			return errors.Join(err, r.end())
		}
		b = bytes.TrimSuffix(b, []byte{'\r'})
		if len(b) == 0 {
			continue
		}
		if why := p.parse(b, &l); why != nil {
			if h, ok := parseHole(b); ok {
				c.missing(in.at, h)
				continue
			}
			switch glued, ok := afterTear(b); {
			case ok && p.parse(glued, &l) == nil:
				c.line(in.at, fmt.Errorf("half a line before a whole one: %w", why))
			case !whole && in.then == io.EOF:
				at := in.at
				c.torn = &at
				continue
			default:
				c.line(in.at, why)
				continue
			}
		}
		if err := r.line(&l, in.at); err != nil {
			return err
		}
	}
}

// afterTear finds, in a bad line, the whole line that a new writer began behind the half one of a writer that was killed.
func afterTear(b []byte) ([]byte, bool) {
	i := bytes.LastIndex(b, []byte(`{"timestamp":`))
	if i <= 0 {
		return nil, false
	}
	return b[i:], true
}

// plural writes a count with its noun: 1 line, 12,345 lines.
func plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return group(n) + " " + noun
}

// group writes n with a comma between thousands.
func group(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
