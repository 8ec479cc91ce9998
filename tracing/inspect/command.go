package inspect

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// Command is `inspect` as kong reads it from a command line. Its fields are the flags that all of its commands share; each
// takes those that make sense for it, and refuses the others.
//
// To plug it in, give a kong grammar a field of type Command tagged cmd:"", and bind a context.Context, whose end stops the
// reading (as an interrupt should), and a *Streams. Errors are of type *Error, whose ExitCode kong uses.
type Command struct {
	Trace      string        `placeholder:"ID" help:"Only this trace; the beginning of its id will do."`
	Slow       time.Duration `placeholder:"10ms" help:"Only operations that took at least so long, or have been open for so long."`
	Errors     bool          `help:"Only operations that failed."`
	Connection string        `placeholder:"ID" help:"Only operations of this connection (connection_id in args)."`
	Room       string        `placeholder:"ID" help:"Only operations on this room."`
	Function   string        `placeholder:"NAME" help:"Only this function: append, store.append, or all of a module: store."`

	Follow  bool   `short:"f" help:"Go on as the log grows, over rotation, until interrupted."`
	FromEnd bool   `help:"With --follow: leave out what the log holds already."`
	JSON    bool   `name:"json" help:"Machine-readable output, one JSON document a line."`
	Wide    bool   `short:"w" help:"All of args and results, uncut."`
	Color   string `enum:"auto,always,never" default:"auto" help:"Colour: auto is on a terminal, unless NO_COLOR is set (${enum})."`

	Tree    TreeCommand    `cmd:"" default:"withargs" help:"Show each trace as a call tree (the default)."`
	Top     TopCommand     `cmd:"" help:"Count, total, p50, p95, p99, max and errors by function."`
	Session SessionCommand `cmd:"" help:"All that one connection did, in order, across its traces."`
	Check   CheckCommand   `cmd:"" help:"Hold the log against what it promises; status 1 if it does not keep it."`
	Export  ExportCommand  `cmd:"" help:"Write the log for other tools."`
}

// Help is shown by --help.
func (*Command) Help() string {
	return `Reads the server's trace log: each FILE, in the order given, gzipped ones too; - is standard input. Without a FILE it is
standard input when something is piped in, else TRACE_LOG or traceroom.jsonl. Rotated logs are read whole as
traceroom-*.jsonl traceroom.jsonl.

A trace is shown when one of its operations meets all of the filters; such operations are marked with >. Times are
milliseconds since the trace began, and durations. A dashed branch (├╌) may outlive its parent. A trace that is not over
when it must be shown (the log ends, or more is open than memory is given) says so, and what comes later is a part of
its own, called continued.

Exit status: 0 done; 1 done, but check found something, session found nothing, or lines could not be read (each is named
on standard error); 2 it could not be done: a flag, a file, the output. An interrupt ends the reading, and what was read
is shown: that is not a failure.`
}

// Streams is what a command reads, writes and asks of its process.
type Streams struct {
	In       io.Reader // standard input
	Out      io.Writer // results; nothing else is written to it
	Err      io.Writer // bad lines and notes
	Getenv   func(string) string
	Location *time.Location // times are shown in it; nil is the local one
}

// Standard returns the process's own streams.
func Standard() *Streams {
	return &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}
}

// Exit statuses beside 0.
const (
	StatusFindings = 1 // done, but there is something to look at
	StatusFailed   = 2 // not done
)

// An Error ends a command with a status other than 0. What it says with StatusFindings has been said on Streams already:
// the process has only to end with that status. With StatusFailed it is still to be said.
type Error struct {
	Status int
	err    error
}

// Error says it in one line.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.err }

// ExitCode is the status that the process should end with.
func (e *Error) ExitCode() int { return e.Status }

// failed makes err an *Error of a command that could not be done.
func failed(err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &Error{StatusFailed, err}
}

// run is one command at work: its input, its output, and what is to be said at its end.
type run struct {
	*Command
	*Streams
	filter     filter
	out        *bufio.Writer
	complaints *complaints
	src        source
	paint      paint
}

// findings ends a command that was done with StatusFindings; what it says, if anything, is still to be said.
type findings string

func (e findings) Error() string {
	if e == "" {
		return "problems found"
	}
	return string(e)
}

// start opens a command's input and output. The caller ends it by finish.
func (c *Command) start(s *Streams, paths []string) (*run, error) {
	r := &run{Command: c, Streams: s, complaints: &complaints{w: s.Err}}
	var err error
	if r.filter, err = newFilter(c.Trace, c.Slow, c.Errors, c.Connection, c.Room, c.Function); err != nil {
		return nil, failed(err)
	}
	if c.FromEnd && !c.Follow {
		return nil, failed(errors.New("--from-end: takes --follow with it"))
	}
	r.paint.colour = c.Color == "always" || c.Color != "never" && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb" && terminal(s.Out)
	if c.JSON {
		r.paint.colour = false
	}
	if len(paths) == 0 {
		paths = []string{s.standardLog()}
	}
	switch {
	case len(paths) > 1 && c.Follow:
		return nil, failed(errors.New("--follow: takes one FILE; it finds the rotated ones itself"))
	case len(paths) > 1:
		for _, p := range paths {
			if p == stdin {
				return nil, failed(errors.New("-: takes no other FILE beside it"))
			}
		}
		r.src = &files{paths: paths}
	case paths[0] == stdin:
		r.src = newStream(s.In)
	case c.Follow:
		r.src = newFollow(paths[0], c.FromEnd, r.complaints.note)
	default:
		r.src = &files{paths: paths}
	}
	r.out = bufio.NewWriterSize(s.Out, 64<<10)
	return r, nil
}

// standardLog is what is read when no FILE is named.
func (s *Streams) standardLog() string {
	if f, ok := s.In.(*os.File); ok {
		if st, err := f.Stat(); err == nil && (st.Mode().IsRegular() || st.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0) {
			return stdin
		}
	} else if s.In != nil {
		return stdin
	}
	if path := s.Getenv("TRACE_LOG"); path != "" && path != "off" {
		return path
	}
	return "traceroom.jsonl"
}

// terminal tells whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// read gives all of the input to to, and what it has shown to the user whenever the input rests.
func (r *run) read(ctx context.Context, to reading) error {
	return read(ctx, r.src, flushed{to, r.out}, r.complaints)
}

// flushed is a reading whose output is flushed when the log has nothing new.
type flushed struct {
	reading
	out *bufio.Writer
}

func (f flushed) idle() error {
	if err := f.reading.idle(); err != nil {
		return err
	}
	return f.out.Flush()
}

// finish closes what start opened, and turns how it went into the command's error.
func (r *run) finish(err error) error {
	err = errors.Join(err, r.out.Flush())
	if cerr := r.src.close(); err == nil {
		err = cerr
	}
	var nothing findings
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil // whoever read the output has seen enough
	case errors.As(err, &nothing):
		if nothing != "" {
			r.complaints.note(string(nothing))
		}
		return &Error{StatusFindings, nothing}
	case err != nil:
		return failed(err)
	case r.complaints.heard == nil && r.complaints.bad > 0:
		return &Error{StatusFindings, fmt.Errorf("%s could not be read", plural(r.complaints.bad, "line"))}
	}
	return nil
}

// refuse tells which of the flags that were given the command has no use for.
func (c *Command) refuse(command string, flags ...string) error {
	given := map[string]bool{
		"--trace": c.Trace != "", "--slow": c.Slow != 0, "--errors": c.Errors, "--connection": c.Connection != "",
		"--room": c.Room != "", "--function": c.Function != "", "--follow": c.Follow, "--wide": c.Wide,
	}
	for _, f := range flags {
		if given[f] {
			return failed(fmt.Errorf("%s: not for inspect %s", f, command))
		}
	}
	return nil
}

// TreeCommand is `inspect [FILE…]`: each trace as a call tree.
type TreeCommand struct {
	Files []string `arg:"" optional:"" name:"file" help:"Trace logs; - is standard input."`
}

// Run shows the traces.
func (t *TreeCommand) Run(ctx context.Context, s *Streams, c *Command) error {
	r, err := c.start(s, t.Files)
	if err != nil {
		return err
	}
	v := &view{}
	marks := r.filter
	marks.traces = ""
	out := &tree{paint: r.paint, w: r.out, zone: s.zone(), wide: c.Wide}
	a := &assembler{live: c.Follow, only: r.filter.taken()}
	a.show = func(t *trace, now int64) error {
		if !r.filter.possible(t) {
			return nil
		}
		v.lay(t, now)
		if marks.some() && r.filter.mark(v) == 0 {
			return nil
		}
		if c.JSON {
			out.buf = jsonTrace(out.buf, v, marks.some())
			return out.flush()
		}
		return out.write(v, marks.some())
	}
	return r.finish(r.read(ctx, a))
}

func (s *Streams) zone() *time.Location {
	if s.Location == nil {
		return time.Local
	}
	return s.Location
}

// TopCommand is `inspect top`.
type TopCommand struct {
	Files []string `arg:"" optional:"" name:"file" help:"Trace logs; - is standard input."`
	Sort  string   `enum:"total,count,errors,p50,p95,p99,max" default:"total" help:"Column to sort by, largest first (${enum})."`
}

// Run writes the table: once at the end, and over and over on a terminal while the log is followed.
func (t *TopCommand) Run(ctx context.Context, s *Streams, c *Command) error {
	if err := c.refuse("top", "--wide"); err != nil {
		return err
	}
	r, err := c.start(s, t.Files)
	if err != nil {
		return err
	}
	out := &top{paint: r.paint, filter: r.filter, w: r.out, json: c.JSON, sort: t.Sort}
	out.redraw = c.Follow && !c.JSON && terminal(s.Out)
	if !r.filter.needsEnter() {
		return r.finish(r.read(ctx, exits{out, r.filter.taken()}))
	}
	a := &assembler{live: c.Follow, only: r.filter.taken(), show: out.show}
	return r.finish(r.read(ctx, tables{a, out}))
}

// tables is an assembler whose traces are counted.
type tables struct {
	*assembler
	top *top
}

func (t tables) idle() error {
	if err := t.assembler.idle(); err != nil {
		return err
	}
	return t.top.again()
}

func (t tables) end() error {
	if err := t.assembler.end(); err != nil {
		return err
	}
	return t.top.draw()
}

// SessionCommand is `inspect session CONNECTION`.
type SessionCommand struct {
	ID    string   `arg:"" name:"connection" help:"The connection's id (connection_id in args)."`
	Files []string `arg:"" optional:"" name:"file" help:"Trace logs; - is standard input."`
}

// Run shows the connection's operations; finding none is a finding.
func (q *SessionCommand) Run(ctx context.Context, s *Streams, c *Command) error {
	if err := c.refuse("session", "--connection"); err != nil {
		return err
	}
	r, err := c.start(s, q.Files)
	if err != nil {
		return err
	}
	r.filter.connection = q.ID
	out := &session{filter: r.filter, json: c.JSON, tree: tree{paint: r.paint, w: r.out, zone: s.zone(), wide: c.Wide, ids: true}}
	a := &assembler{live: c.Follow, only: r.filter.taken(), show: out.show}
	err = r.read(ctx, a)
	if err == nil {
		err = out.sum()
	}
	if err == nil && out.traces == 0 {
		err = findings(fmt.Sprintf("nothing of connection %s in the log", cleaned(q.ID)))
	}
	return r.finish(err)
}

// CheckCommand is `inspect check`.
type CheckCommand struct {
	Files       []string `arg:"" optional:"" name:"file" help:"Trace logs; - is standard input."`
	AllowOpen   bool     `help:"Take a log that begins or ends in the middle: one that is part of a rotated one, or of which only a part is there."`
	MaxProblems int      `default:"100" placeholder:"N" help:"Name at most so many problems; all are counted."`
}

// Run names each problem with its line, or says in one line how much was checked.
func (k *CheckCommand) Run(ctx context.Context, s *Streams, c *Command) error {
	if err := c.refuse("check", "--trace", "--slow", "--errors", "--connection", "--room", "--function", "--follow", "--wide"); err != nil {
		return err
	}
	r, err := c.start(s, k.Files)
	if err != nil {
		return err
	}
	chk := newCheck(CheckOptions{AllowOpen: k.AllowOpen, MaxProblems: k.MaxProblems})
	r.complaints = chk.complaints(s.Err)
	if !c.JSON {
		named := 0
		chk.found = func(p Problem) error {
			if named++; named > k.MaxProblems {
				return nil
			}
			_, err := r.out.Write(r.paint.problem(p))
			return err
		}
	}
	err = r.read(ctx, chk)
	if at := r.complaints.torn; err == nil && at != nil {
		r.complaints.note(fmt.Sprintf("line %d is not whole: the log ends in it", at.line))
	}
	if err != nil {
		return r.finish(err)
	}
	rep := &chk.report
	if c.JSON {
		err = json.NewEncoder(r.out).Encode(rep)
	} else {
		_, err = r.out.Write(r.paint.verdict(rep, chk.carried, k))
	}
	if err == nil && rep.Found > 0 {
		err = findings("")
	}
	return r.finish(err)
}

// problem writes a problem as compilers do: file:line: where: what.
func (p paint) problem(q Problem) []byte {
	b := fmt.Appendf(nil, "%s:%d: ", q.File, q.Line)
	b = p.as(b, red, q.Rule)
	b = append(b, ": "...)
	if q.Function != "" {
		b = append(clean(b, []byte(q.Function)), ": "...)
	}
	b = clean(b, []byte(q.Detail))
	if q.TraceID != "" {
		b = p.as(b, dim, fmt.Sprintf("  trace %s span %s", q.TraceID, q.SpanID))
	}
	return append(b, '\n')
}

// verdict sums a check up in one line.
func (p paint) verdict(r *Report, carried int64, k *CheckCommand) []byte {
	var b []byte
	if r.Found > 0 {
		b = p.as(b, red, plural(r.Found, "problem"))
		b = fmt.Appendf(b, " in %s, %s", plural(r.Lines, "line"), plural(r.Spans, "span"))
		if r.Found > int64(k.MaxProblems) {
			b = fmt.Appendf(b, " (the first %s are named)", group(int64(k.MaxProblems)))
		}
		return append(b, '\n')
	}
	b = fmt.Appendf(b, "ok: %s, %s, %s: every ENTER has its EXIT, parents exist, children lie within their parents, durations add up",
		plural(r.Lines, "line"), plural(r.Spans, "span"), plural(r.Roots, "root"))
	if r.Open > 0 {
		b = fmt.Appendf(b, "; %s open at the end", group(r.Open))
	}
	if r.Killed > 0 {
		b = fmt.Appendf(b, "; %s killed or still running", plural(r.Killed, "server"))
	}
	if r.Lost > 0 {
		b = fmt.Appendf(b, "; %s could not be written and are missing", plural(r.Lost, "line"))
	}
	if carried > 0 {
		b = fmt.Appendf(b, "; %s lean on what stands before the log", plural(carried, "line"))
	}
	return append(b, '\n')
}

// ExportCommand is `inspect export`.
type ExportCommand struct {
	Files     []string `arg:"" optional:"" name:"file" help:"Trace logs; - is standard input."`
	Flowtrace bool     `help:"As the FlowTrace tools read it: class and method, one EXIT a call with its exception on it."`
	Schema    string   `enum:"1,2" default:"1" help:"FlowTrace's schema: 1 is what its tools read before 2.0 (timestamp, ENTER, durationMicros), 2 what they read since (ts, enter, duration_ns); neither reads the other's."`
	Output    string   `short:"o" placeholder:"OUT.jsonl" help:"File to write instead of standard output; its name must end in .jsonl, which the tools ask for."`
	MaxLines  int64    `placeholder:"N" help:"Begin a new file (OUT-0001.jsonl, …) after so many lines. The analyzer fails on a file with much more than 100,000 EXITs of one method, so 100000 is always safe."`
}

// Run writes the log, whole or the traces that the filter asks for.
func (x *ExportCommand) Run(ctx context.Context, s *Streams, c *Command) error {
	if err := c.refuse("export", "--wide"); err != nil {
		return err
	}
	switch {
	case !x.Flowtrace:
		return failed(errors.New("export: say for whom: --flowtrace"))
	case x.Output != "" && !strings.HasSuffix(x.Output, ".jsonl"):
		return failed(fmt.Errorf("--output %s: the name must end in .jsonl", x.Output))
	case x.MaxLines < 0 || x.MaxLines > 0 && x.Output == "":
		return failed(errors.New("--max-lines: takes a number above zero, and --output with it"))
	case c.JSON && x.Output == "":
		return failed(errors.New("--json: sums an export up, so it takes --output with it"))
	}
	r, err := c.start(s, x.Files)
	if err != nil {
		return err
	}
	if err := x.overInput(x.Files, s); err != nil {
		return r.finish(err)
	}
	f := &flowtrace{out: newParts(x.Output, x.MaxLines, r.out)}
	if x.Output != "" {
		if err := f.out.begin(); err != nil {
			return r.finish(err)
		}
	}
	if second := x.Schema == "2"; second || r.filter.some() {
		v := &view{}
		a := &assembler{live: c.Follow, only: r.filter.taken()}
		a.show = func(t *trace, now int64) error {
			if !r.filter.possible(t) {
				return nil
			}
			if v.lay(t, now); r.filter.mark(v) == 0 {
				return nil
			}
			if second {
				return f.show2(v)
			}
			return f.show(t)
		}
		err = r.read(ctx, traces{a, f})
	} else {
		err = r.read(ctx, f)
	}
	err = errors.Join(err, f.out.close())
	if err == nil && f.warn != nil {
		r.complaints.note(fmt.Sprintf("one file has more than %s EXITs of %s: FlowTrace's analyzer may fail on it; see --max-lines", group(maxPerMethod), cleaned(f.warn.full)))
	}
	if err == nil && c.JSON {
		err = json.NewEncoder(r.out).Encode(struct {
			Lines int64    `json:"lines"`
			Files []string `json:"files"`
		}{f.out.total, f.out.names})
	}
	return r.finish(err)
}

// traces is an assembler whose traces are exported.
type traces struct {
	*assembler
	out *flowtrace
}

func (t traces) idle() error {
	if err := t.assembler.idle(); err != nil {
		return err
	}
	return t.out.idle()
}

func (t traces) end() error {
	if err := t.assembler.end(); err != nil {
		return err
	}
	return t.out.end()
}

// overInput refuses to write over what is to be read.
func (x *ExportCommand) overInput(paths []string, s *Streams) error {
	out, err := os.Stat(x.Output)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		paths = []string{s.standardLog()}
	}
	for _, p := range paths {
		if in, err := os.Stat(p); err == nil && os.SameFile(in, out) {
			return fmt.Errorf("--output %s: is the log itself", x.Output)
		}
	}
	return nil
}
