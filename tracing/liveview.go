package tracing

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// traceSummary is a trace as lists show it. Times are Unix microseconds, durations microseconds.
type traceSummary struct {
	TraceID     string  `json:"trace_id"`
	Kind        string  `json:"kind"` // messages, connections or requests
	Name        string  `json:"name"` // of the root: the first span whose parent is not here
	Module      string  `json:"module"`
	Operation   string  `json:"operation"`
	Event       string  `json:"event,omitempty"`
	Room        string  `json:"room,omitempty"`
	Client      string  `json:"client_id,omitempty"`
	Connection  string  `json:"connection_id,omitempty"`
	Thread      string  `json:"thread"`
	Start       int64   `json:"start_micros"`
	Duration    float64 `json:"duration_micros"` // until now if spans are open
	Spans       int     `json:"span_count"`
	Open        int     `json:"open_count"`   // spans that have not ended
	Failed      int     `json:"failed_count"` // spans
	Error       string  `json:"error,omitempty"`
	Sampled     bool    `json:"sampled"`
	LetGo       int     `json:"spans_let_go,omitempty"`
	Remote      bool    `json:"remote_parent"` // whoever asked for it began the trace
	RootMissing bool    `json:"root_missing,omitempty"`
}

// traceBody is one trace with all that is known of it.
type traceBody struct {
	traceSummary
	SpanList   []spanBody        `json:"spans"` // each behind its parent, as deep as depth says
	LinkedFrom []backlink        `json:"linked_from"`
	LinkCount  int               `json:"linked_from_count"`
	Log        []json.RawMessage `json:"log"` // the trace log's lines, without messages' text
}

type spanBody struct {
	SpanID     string         `json:"span_id"`
	Parent     string         `json:"parent_span_id,omitempty"`
	ParentIs   string         `json:"parent_is"` // here, none, remote (of another process) or missing (not in memory any more)
	Depth      int            `json:"depth"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Module     string         `json:"module"`
	Operation  string         `json:"operation"`
	Thread     string         `json:"thread"`
	Scope      string         `json:"scope"`
	Start      int64          `json:"start_micros"`
	Offset     float64        `json:"offset_micros"` // from the trace's start
	Duration   float64        `json:"duration_micros"`
	Open       bool           `json:"open"`
	Status     string         `json:"status"` // unset, ok, error
	Error      string         `json:"error,omitempty"`
	Attributes map[string]any `json:"attributes"`
	Events     []eventBody    `json:"events"`
	Links      []linkBody     `json:"links"`
	Dropped    *droppedBody   `json:"dropped,omitempty"`
}

type eventBody struct {
	Name       string         `json:"name"`
	Offset     float64        `json:"offset_micros"` // from the trace's start
	Attributes map[string]any `json:"attributes"`
}

type linkBody struct {
	TraceID    string         `json:"trace_id"`
	SpanID     string         `json:"span_id"`
	Here       bool           `json:"here"` // in memory
	Name       string         `json:"name,omitempty"`
	Operation  string         `json:"operation,omitempty"`
	Attributes map[string]any `json:"attributes"`
}

// droppedBody is what a span had no room for.
type droppedBody struct {
	Attributes int `json:"attributes"`
	Events     int `json:"events"`
	Links      int `json:"links"`
}

// backlink is a span of another trace that links to this one.
type backlink struct {
	TraceID   string  `json:"trace_id"`
	SpanID    string  `json:"span_id"`
	To        string  `json:"to_span_id"`
	Name      string  `json:"name"`
	Operation string  `json:"operation"`
	Event     string  `json:"event,omitempty"`
	Room      string  `json:"room,omitempty"`
	Start     int64   `json:"start_micros"`
	Duration  float64 `json:"duration_micros"`
	Open      bool    `json:"open"`
	Failed    bool    `json:"failed"`
}

// mostBacklinks bounds what one answer lists of a connection's traces.
const mostBacklinks = 200

// seenSpan is a span as it was when it was looked at.
type seenSpan struct {
	sdktrace.ReadOnlySpan
	id, parent  trace.SpanID
	remote      bool // the parent is of another process
	name        string
	module, fn  string
	start, end  time.Time // an open span ends now
	open        bool
	status      sdktrace.Status
	attrs       []attribute.KeyValue
	parentIsOwn bool // the parent is among the trace's spans here
}

func seeSpan(s sdktrace.ReadOnlySpan, now time.Time) seenSpan {
	v := seenSpan{
		ReadOnlySpan: s, id: s.SpanContext().SpanID(), parent: s.Parent().SpanID(), remote: s.Parent().IsRemote(),
		name: s.Name(), start: s.StartTime(), end: endOf(s), status: s.Status(), attrs: s.Attributes(),
	}
	v.module, v.fn = names(v.name, s.InstrumentationScope().Name)
	if v.end.IsZero() {
		v.open, v.end = true, now
		if v.end.Before(v.start) {
			v.end = v.start
		}
	}
	return v
}

// open reports whether spans have not ended yet.
func (t *takenTrace) open() bool {
	return slices.ContainsFunc(t.spans, func(s sdktrace.ReadWriteSpan) bool { return s.EndTime().IsZero() })
}

func (v *seenSpan) attr(key attribute.Key) string {
	for i := range v.attrs {
		if v.attrs[i].Key == key {
			return v.attrs[i].Value.String()
		}
	}
	return ""
}

func (v *seenSpan) micros() float64 { return since(v.start, v.end) }

// since is the time from start to at. Times that did not all come from this process's monotonic clock may be in any order.
func since(start, at time.Time) float64 { return micros(max(0, at.Sub(start))) }

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// seenTrace is a trace as it was when it was looked at: its spans in the order in which they began, its root, and its
// bounds in time.
type seenTrace struct {
	takenTrace
	spans      []seenSpan
	root       int
	start, end time.Time
}

func seeTrace(t takenTrace, now time.Time) *seenTrace {
	v := &seenTrace{takenTrace: t, spans: make([]seenSpan, len(t.spans)), root: -1}
	for i, s := range t.spans {
		v.spans[i] = seeSpan(s, now)
	}
	slices.SortStableFunc(v.spans, func(a, b seenSpan) int { return a.start.Compare(b.start) })
	for i := range v.spans {
		s := &v.spans[i]
		for j := range v.spans {
			if i != j && v.spans[j].id == s.parent {
				s.parentIsOwn = true
				break
			}
		}
		if v.root < 0 && !s.parentIsOwn {
			v.root = i
		}
		if i == 0 {
			v.start, v.end = s.start, s.end
		}
		if s.end.After(v.end) {
			v.end = s.end
		}
	}
	v.root = max(v.root, 0) // spans that are each other's parents
	return v
}

func (v *seenTrace) summary() traceSummary {
	root := &v.spans[v.root]
	sum := traceSummary{
		TraceID: v.id.String(), Kind: liveKindNames[v.kind], Name: root.name, Module: root.module, Operation: root.fn,
		Thread: threadOf(root.module, connectionID(root.attrs)), Start: v.start.UnixMicro(), Duration: since(v.start, v.end),
		Spans: len(v.spans), Sampled: root.SpanContext().IsSampled(), LetGo: v.letGo,
		Remote: root.remote, RootMissing: root.parent.IsValid() && !root.remote,
	}
	for i := range v.spans {
		s := &v.spans[i]
		if s.open {
			sum.Open++
		}
		if s.status.Code == codes.Error {
			sum.Failed++
			if sum.Error == "" {
				sum.Error = listed(s.status.Description)
			}
		}
		for _, a := range s.attrs {
			var to *string
			switch a.Key {
			case semconv.MessagingDestinationNameKey:
				to = &sum.Room
			case semconv.MessagingClientIDKey:
				to = &sum.Client
			case keyConnection.name:
				to = &sum.Connection
			case keyEvent.name:
				to = &sum.Event
			default:
				continue
			}
			if *to == "" {
				*to = listed(a.Value.String())
			}
		}
	}
	return sum
}

// maxListed is how many bytes lists of traces, which may be long, show of one text. Ids, other than those that were refused
// because of their length, are shorter.
const maxListed = 256

func listed(s string) string {
	if len(s) > maxListed {
		return cut(s, maxListed)
	}
	return s
}

// body is all of the trace. others are all traces in memory, for the links between them.
func (v *seenTrace) body(others []takenTrace) traceBody {
	b := traceBody{traceSummary: v.summary()}
	at := make(map[trace.SpanID]int, len(v.spans))
	children := make(map[trace.SpanID][]int)
	for i := range v.spans {
		at[v.spans[i].id] = i
		if v.spans[i].parentIsOwn {
			children[v.spans[i].parent] = append(children[v.spans[i].parent], i)
		}
	}
	known := make(map[trace.TraceID]*takenTrace, len(others))
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
		s := &v.spans[i]
		lines = append(lines, datedLine{s.start, enterLine(s)})
		b.SpanList = append(b.SpanList, s.body(v.start, depth, known))
		for _, child := range children[s.id] {
			walk(child, depth+1)
		}
		if !s.open {
			lines = append(lines, datedLine{s.end, exitLine(s)})
		}
	}
	for i := range v.spans {
		if !v.spans[i].parentIsOwn {
			walk(i, 0)
		}
	}
	for i := range v.spans { // those that are each other's parents
		walk(i, 0)
	}
	slices.SortStableFunc(lines, func(a, b datedLine) int { return a.at.Compare(b.at) })
	b.Log = make([]json.RawMessage, len(lines))
	for i := range lines {
		b.Log[i] = lines[i].text
	}
	b.LinkedFrom, b.LinkCount = v.backlinks(at, others)
	return b
}

// datedLine is a line of the trace log.
type datedLine struct {
	at   time.Time
	text json.RawMessage
}

// enterLine is the ENTER line that the trace log has of s.
func enterLine(s *seenSpan) json.RawMessage {
	m := lines.Get().(*line)
	defer lines.Put(m)
	if own, ok := s.ReadOnlySpan.(*span); ok {
		own.mu.Lock()
		defer own.mu.Unlock()
		return kept(m.enter(tellOperation(own, own.attrs[:own.known]), s.start, "", false))
	}
	return kept(m.enter(m.tell(s.ReadOnlySpan, s.attrs), s.start, "", false))
}

// exitLine is the EXIT line that the trace log has of s, which has ended.
func exitLine(s *seenSpan) json.RawMessage {
	m := lines.Get().(*line)
	defer lines.Put(m)
	if own, ok := s.ReadOnlySpan.(*span); ok {
		return kept(m.exitOperation(own))
	}
	return kept(m.exit(m.tell(s.ReadOnlySpan, s.attrs), s.end, s.end.Sub(s.start), s.status))
}

// kept is a copy of a line, without its end.
func kept(line []byte) json.RawMessage { return bytes.Clone(bytes.TrimSuffix(line, []byte("\n"))) }

func (v *seenSpan) body(start time.Time, depth int, known map[trace.TraceID]*takenTrace) spanBody {
	b := spanBody{
		SpanID: v.id.String(), Depth: depth, Name: v.name, Kind: v.SpanKind().String(), Module: v.module, Operation: v.fn,
		Thread: threadOf(v.module, connectionID(v.attrs)), Scope: v.InstrumentationScope().Name,
		Start: v.start.UnixMicro(), Offset: since(start, v.start), Duration: v.micros(), Open: v.open,
		Status: strings.ToLower(v.status.Code.String()), Error: v.status.Description, Attributes: attributeMap(v.attrs),
		Events: []eventBody{}, Links: []linkBody{},
	}
	switch {
	case !v.parent.IsValid():
		b.ParentIs = "none"
	case v.parentIsOwn:
		b.ParentIs = "here"
	case v.remote:
		b.ParentIs = "remote"
	default:
		b.ParentIs = "missing"
	}
	if v.parent.IsValid() {
		b.Parent = v.parent.String()
	}
	for _, e := range v.Events() {
		b.Events = append(b.Events, eventBody{e.Name, since(start, e.Time), attributeMap(e.Attributes)})
	}
	for _, l := range v.Links() {
		link := linkBody{TraceID: l.SpanContext.TraceID().String(), SpanID: l.SpanContext.SpanID().String(), Attributes: attributeMap(l.Attributes)}
		if t := known[l.SpanContext.TraceID()]; t != nil {
			link.Here = true
			for _, s := range t.spans {
				if s.SpanContext().SpanID() == l.SpanContext.SpanID() {
					link.Name = s.Name()
					_, link.Operation = names(link.Name, s.InstrumentationScope().Name)
				}
			}
		}
		b.Links = append(b.Links, link)
	}
	if d := (droppedBody{v.DroppedAttributes(), v.DroppedEvents(), v.DroppedLinks()}); d != (droppedBody{}) {
		b.Dropped = &d
	}
	return b
}

// backlinks finds the spans of other traces that link to one of these spans, the newest first, and counts them.
func (v *seenTrace) backlinks(at map[trace.SpanID]int, others []takenTrace) ([]backlink, int) {
	now := time.Now()
	list := []backlink{}
	for _, other := range others {
		if other.id == v.id {
			continue
		}
		for _, s := range other.spans {
			for _, l := range s.Links() {
				if _, ok := at[l.SpanContext.SpanID()]; !ok || l.SpanContext.TraceID() != v.id {
					continue
				}
				from := seeSpan(s, now)
				list = append(list, backlink{
					TraceID: other.id.String(), SpanID: from.id.String(), To: l.SpanContext.SpanID().String(), Name: from.name,
					Operation: from.fn, Event: from.attr(keyEvent.name), Room: from.attr(semconv.MessagingDestinationNameKey),
					Start: from.start.UnixMicro(), Duration: from.micros(), Open: from.open, Failed: from.status.Code == codes.Error,
				})
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b backlink) int { return cmp.Compare(b.Start, a.Start) })
	return list[:min(len(list), mostBacklinks)], len(list)
}

// attributeMap is attributes as JSON has them: text, numbers, booleans, and lists as text.
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
