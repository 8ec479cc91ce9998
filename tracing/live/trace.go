package live

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// Summary is a trace as lists show it. Its texts are at most 256 bytes long.
type Summary struct {
	TraceID     string
	Group       string // the name of its Group
	Name        string // of the root: the first span whose parent is not in memory
	Module      string // of the root
	Function    string // of the root
	Event       string
	Room        string
	Client      string
	Connection  string // its id
	Thread      string // of the root
	Start       time.Time
	Duration    time.Duration // until now if spans are open
	Spans       int           // in memory
	Open        int           // of these, those that have not ended
	Failed      int           // of these, those that failed
	Error       string        // of the first that failed
	Sampled     bool
	Dropped     int  // spans that are not in memory any more
	Remote      bool // the root's parent is of another process
	RootMissing bool // the root's parent is of this process, and not in memory any more
}

// Trace is a trace with all that is known of it.
type Trace struct {
	Summary
	SpanList   []Span     // each behind its parent, as deep as Depth says
	LinkedFrom []Backlink // spans of other traces that link to this one, the newest first; at most 200
	LinkCount  int        // how many there are of these
	Log        [][]byte   // its lines of the trace log, in the order of their times
}

// Parents of a span.
const (
	ParentNone    = "none"
	ParentHere    = "here"    // among the trace's spans
	ParentRemote  = "remote"  // of another process
	ParentMissing = "missing" // not in memory any more
)

// Span is a span of a Trace.
type Span struct {
	SpanID     string
	Parent     string // the id of its parent; may be empty
	ParentIs   string
	Depth      int
	Name       string
	Kind       string
	Module     string
	Function   string
	Thread     string
	Scope      string
	Start      time.Time
	Offset     time.Duration // from the start of the trace
	Duration   time.Duration // until now if it is open
	Open       bool
	Status     string // unset, ok or error
	Error      string
	Attributes map[string]any // texts, numbers, booleans, lists of texts
	Events     []Event
	Links      []Link
	// What it had no room for.
	DroppedAttributes, DroppedEvents, DroppedLinks int
}

// Event is something that happened within a span.
type Event struct {
	Name       string
	Offset     time.Duration // from the start of the trace
	Attributes map[string]any
}

// Link is a span that another links to.
type Link struct {
	TraceID    string
	SpanID     string
	Here       bool   // its trace is in memory
	Name       string // if it is in memory itself
	Function   string // if it is in memory itself
	Attributes map[string]any
}

// Backlink is a span of another trace that links to this one.
type Backlink struct {
	TraceID  string
	SpanID   string
	To       string // the id of the span that it links to
	Name     string
	Function string
	Event    string
	Room     string
	Start    time.Time
	Duration time.Duration
	Open     bool
	Failed   bool
}

const (
	maxBacklinks = 200 // of one Trace
	maxText      = 256 // bytes of a text in a Summary: ids are shorter, except those that were refused for their length
)

// Trace returns the trace with this id in hexadecimal, or a *NotFoundError.
func (s *Store) Trace(id string) (Trace, error) {
	t, err := s.find(id)
	if err != nil {
		return Trace{}, err
	}
	others, _, _ := s.since(0, MaxListed)
	return s.see(t, time.Now()).trace(others), nil
}

// Export returns the trace with this id in hexadecimal, in the form of Config.Export. An error is a *NotFoundError, or that form's.
func (s *Store) Export(id string) ([]byte, error) {
	t, err := s.find(id)
	if err != nil {
		return nil, err
	}
	spans := make([]sdktrace.ReadOnlySpan, len(t.spans))
	for i, o := range t.spans {
		spans[i] = o
	}
	return s.config.Export(spans)
}

func newestFirst(list []Summary) {
	slices.SortStableFunc(list, func(a, b Summary) int { return cmp.Compare(b.Start.UnixMicro(), a.Start.UnixMicro()) })
}

// open reports whether spans have not ended yet.
func (t *taken) open() bool {
	return slices.ContainsFunc(t.spans, func(o sdktrace.ReadWriteSpan) bool { return o.EndTime().IsZero() })
}

// seenSpan is a span as it was when it was looked at.
type seenSpan struct {
	sdktrace.ReadOnlySpan
	id, parent       trace.SpanID
	remote           bool // the parent is of another process
	here             bool // the parent is among the trace's spans
	name             string
	module, function string
	start, end       time.Time // an open span ends now
	open             bool
	status           sdktrace.Status
	attrs            []attribute.KeyValue
}

func (s *Store) seeSpan(o sdktrace.ReadOnlySpan, now time.Time) seenSpan {
	v := seenSpan{
		ReadOnlySpan: o, id: o.SpanContext().SpanID(), parent: o.Parent().SpanID(), remote: o.Parent().IsRemote(),
		name: o.Name(), start: o.StartTime(), end: span.EndOf(o), status: o.Status(), attrs: o.Attributes(),
	}
	v.module, v.function = s.config.Table.NamesOf(v.name, o.InstrumentationScope().Name)
	if v.end.IsZero() {
		v.open, v.end = true, now
		if v.end.Before(v.start) {
			v.end = v.start
		}
	}
	return v
}

func (v *seenSpan) attr(key attribute.Key) string {
	for i := range v.attrs {
		if v.attrs[i].Key == key {
			return v.attrs[i].Value.String()
		}
	}
	return ""
}

// between returns the time from start to at, or 0: times that are not all of this process's monotonic clock may be in any order.
func between(start, at time.Time) time.Duration { return max(0, at.Sub(start)) }

// seenTrace is a trace as it was when it was looked at: its spans in the order in which they began, its root, and when it
// began and ended.
type seenTrace struct {
	taken
	store      *Store
	spans      []seenSpan
	root       int
	start, end time.Time
}

func (s *Store) see(t taken, now time.Time) *seenTrace {
	v := &seenTrace{taken: t, store: s, spans: make([]seenSpan, len(t.spans)), root: -1}
	for i, o := range t.spans {
		v.spans[i] = s.seeSpan(o, now)
	}
	slices.SortStableFunc(v.spans, func(a, b seenSpan) int { return a.start.Compare(b.start) })
	for i := range v.spans {
		o := &v.spans[i]
		for j := range v.spans {
			if i != j && v.spans[j].id == o.parent {
				o.here = true
				break
			}
		}
		if v.root < 0 && !o.here {
			v.root = i
		}
		if i == 0 {
			v.start, v.end = o.start, o.end
		}
		if o.end.After(v.end) {
			v.end = o.end
		}
	}
	v.root = max(v.root, 0) // if all spans are each other's parents
	return v
}

func (v *seenTrace) thread(o *seenSpan) string {
	table := v.store.config.Table
	return table.Thread(o.module, table.ConnectionID(o.attrs))
}

func (v *seenTrace) summary() Summary {
	config, root := &v.store.config, &v.spans[v.root]
	sum := Summary{
		TraceID: v.id.String(), Group: config.Groups[v.group].Name, Name: root.name, Module: root.module, Function: root.function,
		Thread: v.thread(root), Start: v.start, Duration: between(v.start, v.end),
		Spans: len(v.spans), Sampled: root.SpanContext().IsSampled(), Dropped: v.dropped,
		Remote: root.remote, RootMissing: root.parent.IsValid() && !root.remote,
	}
	for i := range v.spans {
		o := &v.spans[i]
		if o.open {
			sum.Open++
		}
		if o.status.Code == codes.Error {
			sum.Failed++
			if sum.Error == "" {
				sum.Error = short(o.status.Description)
			}
		}
		for _, a := range o.attrs {
			var to *string
			switch a.Key {
			case config.Room:
				to = &sum.Room
			case config.Client:
				to = &sum.Client
			case config.Table.Connection:
				to = &sum.Connection
			case config.Event:
				to = &sum.Event
			default:
				continue
			}
			if *to == "" {
				*to = short(a.Value.String())
			}
		}
	}
	return sum
}

func short(s string) string {
	if len(s) > maxText {
		return span.Cut(s, maxText)
	}
	return s
}

// datedLine is a line of the trace log.
type datedLine struct {
	at   time.Time
	text []byte
}

// trace returns all of the trace. others are all traces in memory, for the links between them.
func (v *seenTrace) trace(others []taken) Trace {
	t := Trace{Summary: v.summary()}
	at := make(map[trace.SpanID]int, len(v.spans))
	children := make(map[trace.SpanID][]int)
	for i := range v.spans {
		at[v.spans[i].id] = i
		if v.spans[i].here {
			children[v.spans[i].parent] = append(children[v.spans[i].parent], i)
		}
	}
	known := make(map[trace.TraceID]*taken, len(others))
	for i := range others {
		known[others[i].id] = &others[i]
	}
	done := make([]bool, len(v.spans))
	var lines []datedLine
	var walk func(i, depth int)
	walk = func(i, depth int) {
		if done[i] {
			return
		}
		done[i] = true
		o := &v.spans[i]
		lines = append(lines, datedLine{o.start, v.store.config.Enter(o.ReadOnlySpan)})
		t.SpanList = append(t.SpanList, v.span(o, depth, known))
		for _, child := range children[o.id] {
			walk(child, depth+1)
		}
		if !o.open {
			lines = append(lines, datedLine{o.end, v.store.config.Exit(o.ReadOnlySpan)})
		}
	}
	for i := range v.spans {
		if !v.spans[i].here {
			walk(i, 0)
		}
	}
	for i := range v.spans { // those that are each other's parents
		walk(i, 0)
	}
	slices.SortStableFunc(lines, func(a, b datedLine) int { return a.at.Compare(b.at) })
	t.Log = make([][]byte, len(lines))
	for i := range lines {
		t.Log[i] = lines[i].text
	}
	t.LinkedFrom, t.LinkCount = v.backlinks(at, others)
	return t
}

func (v *seenTrace) span(o *seenSpan, depth int, known map[trace.TraceID]*taken) Span {
	out := Span{
		SpanID: o.id.String(), Depth: depth, Name: o.name, Kind: o.SpanKind().String(), Module: o.module, Function: o.function,
		Thread: v.thread(o), Scope: o.InstrumentationScope().Name,
		Start: o.start, Offset: between(v.start, o.start), Duration: between(o.start, o.end), Open: o.open,
		Status: strings.ToLower(o.status.Code.String()), Error: o.status.Description, Attributes: attributeMap(o.attrs),
		DroppedAttributes: o.DroppedAttributes(), DroppedEvents: o.DroppedEvents(), DroppedLinks: o.DroppedLinks(),
	}
	switch {
	case !o.parent.IsValid():
		out.ParentIs = ParentNone
	case o.here:
		out.ParentIs = ParentHere
	case o.remote:
		out.ParentIs = ParentRemote
	default:
		out.ParentIs = ParentMissing
	}
	if o.parent.IsValid() {
		out.Parent = o.parent.String()
	}
	for _, e := range o.Events() {
		out.Events = append(out.Events, Event{e.Name, between(v.start, e.Time), attributeMap(e.Attributes)})
	}
	for _, l := range o.Links() {
		link := Link{TraceID: l.SpanContext.TraceID().String(), SpanID: l.SpanContext.SpanID().String(), Attributes: attributeMap(l.Attributes)}
		if t := known[l.SpanContext.TraceID()]; t != nil {
			link.Here = true
			for _, other := range t.spans {
				if other.SpanContext().SpanID() == l.SpanContext.SpanID() {
					link.Name = other.Name()
					_, link.Function = v.store.config.Table.NamesOf(link.Name, other.InstrumentationScope().Name)
				}
			}
		}
		out.Links = append(out.Links, link)
	}
	return out
}

// backlinks returns the spans of other traces that link to one of the trace's spans, the newest first, and how many there are.
func (v *seenTrace) backlinks(at map[trace.SpanID]int, others []taken) ([]Backlink, int) {
	now := time.Now()
	var list []Backlink
	for _, other := range others {
		if other.id == v.id {
			continue
		}
		for _, o := range other.spans {
			for _, l := range o.Links() {
				if _, ok := at[l.SpanContext.SpanID()]; !ok || l.SpanContext.TraceID() != v.id {
					continue
				}
				from := v.store.seeSpan(o, now)
				list = append(list, Backlink{
					TraceID: other.id.String(), SpanID: from.id.String(), To: l.SpanContext.SpanID().String(), Name: from.name,
					Function: from.function, Event: from.attr(v.store.config.Event), Room: from.attr(v.store.config.Room),
					Start: from.start, Duration: between(from.start, from.end), Open: from.open, Failed: from.status.Code == codes.Error,
				})
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b Backlink) int { return cmp.Compare(b.Start.UnixMicro(), a.Start.UnixMicro()) })
	return list[:min(len(list), maxBacklinks)], len(list)
}

// attributeMap returns attributes by their keys: texts, numbers, booleans and lists of texts as they are, and others as text.
func attributeMap(attrs []attribute.KeyValue) map[string]any {
	m := make(map[string]any, len(attrs))
	for _, a := range attrs {
		switch a.Value.Type() {
		case attribute.INT64, attribute.FLOAT64, attribute.BOOL, attribute.STRINGSLICE:
			m[string(a.Key)] = a.Value.AsInterface()
		default:
			m[string(a.Key)] = a.Value.String()
		}
	}
	return m
}
