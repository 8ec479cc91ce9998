package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/traceroom/traceroom/tracing/live"
)

// Ids in examples of traces.
const (
	exampleTrace      = "a5d932f57166962f753027f8b42af8e2"
	exampleSpan       = "b9c7c989f97918e1"
	exampleConnection = "3f9a2b-17"
)

// TraceSummary is a trace, as lists tell it.
type TraceSummary struct {
	TraceID     string  `json:"trace_id" doc:"The trace" example:"a5d932f57166962f753027f8b42af8e2"`
	Kind        string  `json:"kind" enum:"messages,connections,requests" doc:"What it began with; each kind has room of its own in memory"`
	Name        string  `json:"name" doc:"The first span's: that whose parent is not here" example:"receive room/{room}"`
	Module      string  `json:"module" doc:"The first span's module in the trace log" example:"rooms"`
	Operation   string  `json:"operation" doc:"The first span's function in the trace log" example:"receive"`
	Event       string  `json:"event,omitempty" doc:"What the room was told, such as message, typing or user_joined" example:"message"`
	Room        string  `json:"room,omitempty" doc:"The room that it is about" example:"general"`
	Client      string  `json:"client_id,omitempty" doc:"Who caused it" example:"user123"`
	Connection  string  `json:"connection_id,omitempty" doc:"The connection that it came by" example:"3f9a2b-17"`
	Thread      string  `json:"thread" doc:"The thread in the trace log" example:"conn-17"`
	Start       int64   `json:"start_micros" doc:"When it began, in Unix microseconds" example:"1635789012345678"`
	Duration    float64 `json:"duration_micros" doc:"How long it took, or has taken until now while spans are open" example:"1171.4"`
	Spans       int     `json:"span_count" doc:"How many spans of it are in memory" example:"4"`
	Open        int     `json:"open_count" doc:"How many of them have not ended" example:"0"`
	Failed      int     `json:"failed_count" doc:"How many of them failed" example:"0"`
	Error       string  `json:"error,omitempty" doc:"What failed first"`
	Sampled     bool    `json:"sampled" doc:"Whether it is exported, too" example:"true"`
	LetGo       int     `json:"spans_let_go,omitempty" doc:"How many spans of it are not in memory any more"`
	Remote      bool    `json:"remote_parent" doc:"Whether whoever asked for it began the trace" example:"false"`
	RootMissing bool    `json:"root_missing,omitempty" doc:"Whether the span that it began with is not in memory any more"`
}

// Trace is a trace with all that is known of it.
type Trace struct {
	TraceSummary
	TraceDetails
}

// TraceDetails are what a Trace has besides its summary.
type TraceDetails struct {
	SpanList   []Span            `json:"spans" nullable:"false" doc:"Its spans, each behind its parent"`
	LinkedFrom []Backlink        `json:"linked_from" nullable:"false" doc:"Spans of other traces that link to this one, the newest first; at most 200"`
	LinkCount  int               `json:"linked_from_count" doc:"How many there are of these" example:"1"`
	Log        []json.RawMessage `json:"log" nullable:"false" doc:"Its lines of the trace log, without messages' text"`
}

// Traces are the traces that were asked for.
type Traces struct {
	Traces    []TraceSummary `json:"traces" nullable:"false" doc:"Those that began last first"`
	Count     int            `json:"count" doc:"How many are listed" example:"1"`
	Matching  int            `json:"matching" doc:"How many there are in memory, those above the limit included" example:"1"`
	Recording bool           `json:"recording" doc:"Whether traces are recorded" example:"true"`
	Notice    string         `json:"notice,omitempty" doc:"Why none are"`
	Numbers   Numbers        `json:"numbers" doc:"What goes on at the moment"`
}

// Span is one operation of a trace.
type Span struct {
	SpanID     string      `json:"span_id" doc:"The span" example:"b9c7c989f97918e1"`
	Parent     string      `json:"parent_span_id,omitempty" doc:"The span that it is a part of"`
	ParentIs   string      `json:"parent_is" enum:"none,here,remote,missing" doc:"Where that is: among these spans, nowhere, in another process, or not in memory any more"`
	Depth      int         `json:"depth" doc:"How many of these spans it is within" example:"0"`
	Name       string      `json:"name" doc:"Its name, the same for all rooms" example:"receive room/{room}"`
	Kind       string      `json:"kind" enum:"consumer,internal,server,client,producer" doc:"Its kind, as OpenTelemetry has them"`
	Module     string      `json:"module" doc:"Its module in the trace log" example:"rooms"`
	Operation  string      `json:"operation" doc:"Its function in the trace log" example:"receive"`
	Thread     string      `json:"thread" doc:"Its thread in the trace log" example:"conn-17"`
	Scope      string      `json:"scope" doc:"The package that made it" example:"github.com/traceroom/traceroom/tracing"`
	Start      int64       `json:"start_micros" doc:"When it began, in Unix microseconds" example:"1635789012345678"`
	Offset     float64     `json:"offset_micros" doc:"How long after the trace" example:"0"`
	Duration   float64     `json:"duration_micros" doc:"How long it took, or has taken until now" example:"875.2"`
	Open       bool        `json:"open" doc:"Whether it has not ended" example:"false"`
	Status     string      `json:"status" enum:"unset,ok,error" doc:"How it ended"`
	Error      string      `json:"error,omitempty" doc:"What failed"`
	Attributes attributes  `json:"attributes" doc:"What is known of it" example:"{\"traceroom.connection.id\":\"3f9a2b-17\",\"traceroom.room.seq\":42}"`
	Events     []SpanEvent `json:"events" nullable:"false" doc:"What happened within it, such as a member being dropped" example:"[]"`
	Links      []SpanLink  `json:"links" nullable:"false" doc:"Spans of other traces that it goes back to, such as the connection's"`
	Dropped    *Dropped    `json:"dropped,omitempty" doc:"What it had no room for"`
}

// SpanEvent is something that happened within a span.
type SpanEvent struct {
	Name       string     `json:"name" doc:"What happened" example:"slow"`
	Offset     float64    `json:"offset_micros" doc:"How long after the trace's beginning" example:"640.5"`
	Attributes attributes `json:"attributes" doc:"What is known of it" example:"{\"traceroom.connection.id\":\"3f9a2b-12\"}"`
}

// SpanLink is a span that another goes back to.
type SpanLink struct {
	TraceID    string     `json:"trace_id" doc:"Its trace" example:"9f8fae6a5b0b1a4f1d7a51c37e0a3c11"`
	SpanID     string     `json:"span_id" doc:"The span" example:"3aacfe354a6f2395"`
	Here       bool       `json:"here" doc:"Whether its trace is in memory" example:"true"`
	Name       string     `json:"name,omitempty" doc:"Its name, if it is in memory" example:"GET /ws/{room_id}/{client_id}"`
	Operation  string     `json:"operation,omitempty" doc:"Its function in the trace log, if it is in memory" example:"connect"`
	Attributes attributes `json:"attributes" doc:"What is known of the link" example:"{}"`
}

// Backlink is a span of another trace that links to this one.
type Backlink struct {
	TraceID   string  `json:"trace_id" doc:"Its trace" example:"a5d932f57166962f753027f8b42af8e2"`
	SpanID    string  `json:"span_id" doc:"The span" example:"b9c7c989f97918e1"`
	To        string  `json:"to_span_id" doc:"The span of this trace that it links to" example:"3aacfe354a6f2395"`
	Name      string  `json:"name" doc:"Its name" example:"receive room/{room}"`
	Operation string  `json:"operation" doc:"Its function in the trace log" example:"receive"`
	Event     string  `json:"event,omitempty" doc:"What the room was told, such as message, typing or user_joined" example:"message"`
	Room      string  `json:"room,omitempty" doc:"The room that it is about" example:"general"`
	Start     int64   `json:"start_micros" doc:"When it began, in Unix microseconds" example:"1635789012345678"`
	Duration  float64 `json:"duration_micros" doc:"How long it took, or has taken until now" example:"875.2"`
	Open      bool    `json:"open" doc:"Whether it has not ended" example:"false"`
	Failed    bool    `json:"failed" doc:"Whether it failed" example:"false"`
}

// Dropped is what a span had no room for.
type Dropped struct {
	Attributes int `json:"attributes" doc:"How many attributes"`
	Events     int `json:"events" doc:"How many events"`
	Links      int `json:"links" doc:"How many links"`
}

// Numbers are what goes on at the moment.
type Numbers struct {
	Connections int      `json:"connections" doc:"How many are open" example:"5"`
	Messages    float64  `json:"messages_per_second" doc:"Over the last five seconds" example:"2.4"`
	P50         *float64 `json:"p50_micros" doc:"What half of the deliveries took at most, from receipt until the last member was written to; estimated from the histogram; null while there are none" example:"412.5"`
	P99         *float64 `json:"p99_micros" doc:"What 99 of 100 took at most" example:"1180.1"`
	Over        int      `json:"latency_seconds" doc:"Over how many seconds these two are; 0: since the start" example:"60"`
	Kept        Kept     `json:"kept" doc:"How much is in memory"`
}

// Kept is how much is in memory, and how much is not any more.
type Kept struct {
	Traces      int   `json:"traces" doc:"Traces in memory" example:"812"`
	Spans       int   `json:"spans" doc:"Their spans" example:"2950"`
	LetGoTraces int64 `json:"let_go_traces" doc:"Traces that there was no more room for" example:"120"`
	LetGoSpans  int64 `json:"let_go_spans" doc:"Their spans" example:"480"`
}

// TraceUpdate is the event traces of GET /traces/live: the traces that began or changed since the one before.
type TraceUpdate struct {
	Traces    []TraceSummary `json:"traces"`
	Skipped   int            `json:"skipped"`
	First     bool           `json:"first,omitempty"`
	Recording bool           `json:"recording"`
	Notice    string         `json:"notice,omitempty"`
}

// traceObjects describe the objects in the answers to calls for traces.
var traceObjects = map[string]string{
	"TraceSummary": "A trace, as lists tell it.",
	"Trace":        "A trace with all that is known of it.",
	"Traces":       "The traces that were asked for.",
	"Span":         "One operation of a trace.",
	"SpanEvent":    "Something that happened within a span.",
	"SpanLink":     "A span that another goes back to.",
	"Backlink":     "A span of another trace that links to this one: of a connection's trace, all that it did.",
	"Dropped":      "What a span had no room for.",
	"Numbers":      "What goes on at the moment.",
	"Kept":         "How much is in memory, and how much is not any more.",
}

// attributes is a JSON object with any members.
type attributes map[string]any

// Schema implements huma.SchemaProvider.
func (attributes) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// flag and number are parameters that are read as text: what is wrong with them is told in words of our own.
type (
	flag   string
	number string
)

// Schema implements huma.SchemaProvider.
func (flag) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

// Schema implements huma.SchemaProvider.
func (number) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Default: defaultTraces}
}

// defaultTraces is how many traces a list has, unless limit says otherwise.
const defaultTraces = 100

// tracesQuery narrows a list of traces.
type tracesQuery struct {
	Room       string `query:"room" doc:"Only those about this room" example:"general"`
	Operation  string `query:"operation" doc:"Only those with this operation in them: a function of the trace log, or a span's name"`
	Connection string "query:\"connection\" doc:\"Only those of this connection: its id, or its thread such as `conn-17`\""
	Min        string "query:\"min\" doc:\"Only those that took at least so long: a duration such as `10ms`; a bare number is milliseconds\""
	Errors     flag   `query:"errors" doc:"Only those in which something failed"`
	Text       string `query:"text" doc:"Only those with this in an id, a name, an attribute or an error, in upper or lower case"`
	Limit      number `query:"limit" minimum:"1" maximum:"1000" doc:"The newest so many"`
}

// filter returns the query as live takes it. The error says what of it cannot be used.
func (q *tracesQuery) filter() (f live.Filter, err error) {
	f = live.Filter{Room: q.Room, Operation: q.Operation, Connection: q.Connection, Text: strings.TrimSpace(q.Text), Limit: defaultTraces}
	var wrong []error
	if q.Min != "" {
		if ms, err := strconv.ParseFloat(q.Min, 64); err == nil {
			f.Least = time.Duration(ms * float64(time.Millisecond))
		} else if f.Least, err = time.ParseDuration(q.Min); err != nil {
			wrong = append(wrong, fmt.Errorf("min: %q is no duration such as 10ms", q.Min))
		}
	}
	if q.Errors != "" {
		if f.Errors, err = strconv.ParseBool(string(q.Errors)); err != nil {
			wrong = append(wrong, fmt.Errorf("errors: %q is neither true nor false", q.Errors))
		}
	}
	if q.Limit != "" {
		if f.Limit, err = strconv.Atoi(string(q.Limit)); err != nil || f.Limit < 1 || f.Limit > live.MaxListed {
			wrong = append(wrong, fmt.Errorf("limit: %q is no number from 1 to %d", q.Limit, live.MaxListed))
		}
	}
	return f, errors.Join(wrong...)
}

type tracePath struct {
	TraceID string `path:"trace_id" doc:"The trace: 32 hexadecimal digits" example:"a5d932f57166962f753027f8b42af8e2"`
}

// exportSuffix is what the path of a trace ends in when it is to be exported.
const exportSuffix = ".otlp.json"

// How a stream of traces goes.
const (
	streamEvery   = 250 * time.Millisecond // between two looks
	streamNumbers = time.Second            // between two numbers
	streamWrite   = 10 * time.Second       // the longest that a viewer may keep an event from being written
	streamBuffer  = 64 << 10               // bytes of memory that are kept for the next event
)

// traces registers the calls for the live traces. They only read.
func (s *Server) traces(api huma.API) {
	view := s.cfg.Traces
	if view == nil {
		return
	}
	get := func(id, path, summary, description string, answer map[string]*huma.Response, errors ...int) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tagTraces}, Summary: summary, Description: description,
			Responses: answer, Errors: errors, SkipValidateParams: true,
		}
	}
	huma.Register(api, get("list-traces", "/traces", "The newest traces",
		"Those that have not ended included. What is given narrows the list; all of it must hold.",
		answersLike[struct{ Body Traces }](api), http.StatusBadRequest),
		func(_ context.Context, q *tracesQuery) (*huma.StreamResponse, error) {
			f, err := q.filter()
			if err != nil {
				return nil, notStored(newProblem(http.StatusBadRequest, err.Error()))
			}
			list, matching := view.Find(f)
			return answerJSON(Traces{
				mapped(list, summaryOf), len(list), matching, view.Notice() == "", view.Notice(), numbersOf(view.Numbers(time.Now())),
			})
		})
	huma.Register(api, get("get-trace", "/traces/{trace_id}", "One trace",
		"Its spans in their nesting with attributes, events and links, the spans of other traces that link to it, and its lines of the trace log.",
		answersLike[struct{ Body Trace }](api), http.StatusNotFound),
		func(_ context.Context, in *tracePath) (*huma.StreamResponse, error) {
			// A pattern of net/http's cannot have a wildcard with a suffix.
			if id, export := strings.CutSuffix(in.TraceID, exportSuffix); export {
				return exportTrace(view, id)
			}
			t, err := view.Trace(in.TraceID)
			if err != nil {
				return nil, notStored(newProblem(http.StatusNotFound, err.Error()))
			}
			return answerJSON(traceOf(&t))
		})
	huma.Register(api, get("watch-traces", "/traces/live", "Traces as they happen",
		"Server-sent events, with the same filters. A viewer who is too slow misses updates and is told how many; the chat does not wait.\n\n"+
			"- `traces`: those that began or changed, at most four times a second and 50 at a time, as `traces`, a list of TraceSummary. `skipped` is how many more "+
			"there were; `recording` and `notice` are as above. The first such event has those in memory, up to `limit`, and `first`.\n"+
			"- `numbers`: each second, Numbers.\n"+
			"- `bye`: the server goes; ask again later.\n\n"+
			"At most 32 watch at once.",
		described("Events, until the client or the server goes", "text/event-stream", &huma.Schema{Type: huma.TypeString}), http.StatusBadRequest, http.StatusServiceUnavailable),
		func(_ context.Context, q *tracesQuery) (*huma.StreamResponse, error) {
			f, err := q.filter()
			if err != nil {
				return nil, notStored(newProblem(http.StatusBadRequest, err.Error()))
			}
			v := view.Watch(f)
			if v == nil {
				return nil, notStored(newProblem(http.StatusServiceUnavailable, "as many are watching as can; try again later"))
			}
			return &huma.StreamResponse{Body: func(hc huma.Context) { streamTraces(hc, view, v) }}, nil
		})
	describeTraces(api.OpenAPI())
}

func described(about, kind string, schema *huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: about, Content: map[string]*huma.MediaType{kind: {Schema: schema}}}}
}

// describeTraces describes what huma cannot know of the calls for traces.
func describeTraces(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	for name, text := range traceObjects {
		schemas[name].Description = text
		for _, p := range schemas[name].Properties {
			p.Format = "" // of numbers: how large they may be says nothing here
		}
	}
	schemas["Trace"].Properties["log"].Items = attributes{}.Schema(nil)
	for _, path := range []string{"/traces", "/traces/live", "/traces/{trace_id}"} {
		op := doc.Paths[path].Get
		// Parameters are checked by our own code, which answers with the other errors.
		op.Errors = slices.DeleteFunc(op.Errors, func(status int) bool { return status == http.StatusUnprocessableEntity })
		delete(op.Responses, "422")
		for _, p := range op.Parameters {
			p.Schema.Description, p.Explode = "", nil
		}
	}
	one := doc.Paths["/traces/{trace_id}"].Get
	doc.AddOperation(&huma.Operation{
		OperationID: "export-trace", Method: one.Method, Path: one.Path + exportSuffix, Tags: one.Tags, Summary: "Save a trace", Parameters: one.Parameters,
		Description: "As OTLP JSON, which Jaeger's search page takes as an upload. Spans that are open end now, and have the attribute `traceroom.open`.",
		Responses:   described("The trace, as `TracesData` of OTLP", "application/json", attributes{}.Schema(nil)), Errors: one.Errors,
	})
}

// answerJSON answers with v.
func answerJSON(v any) (*huma.StreamResponse, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, notStored(newProblem(http.StatusInternalServerError, "the answer cannot be written"))
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Content-Type-Options", "nosniff")
		_, _ = hc.BodyWriter().Write(body) // the client may be gone
	}}, nil
}

// notStored is p with a header that keeps caches from storing it.
func notStored(p *Problem) error {
	return huma.ErrorWithHeaders(p, http.Header{"Cache-Control": {"no-store"}})
}

func exportTrace(view *live.Store, id string) (*huma.StreamResponse, error) {
	body, err := view.Export(id)
	if missing := (*live.NotFoundError)(nil); errors.As(err, &missing) {
		return nil, notStored(newProblem(http.StatusNotFound, err.Error()))
	} else if err != nil {
		return nil, notStored(newProblem(http.StatusInternalServerError, "the trace cannot be exported"))
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetHeader("Content-Disposition", `attachment; filename="trace-`+strings.ToLower(id)+exportSuffix+`"`)
		hc.SetHeader("Cache-Control", "no-store")
		_, _ = hc.BodyWriter().Write(body) // the client may be gone
	}}, nil
}

// streamTraces writes what v is told as server-sent events: traces, numbers, and bye when the server goes. It returns when the client or
// the server goes, or the client takes nothing.
func streamTraces(hc huma.Context, view *live.Store, v *live.Viewer) {
	defer v.Close()
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("Cache-Control", "no-store")
	hc.SetHeader("X-Content-Type-Options", "nosniff")
	hc.SetHeader("X-Accel-Buffering", "no") // tells nginx to pass events on at once
	_, w := humago.Unwrap(hc)
	out := eventWriter{out: w, control: http.NewResponseController(w)}
	defer func() { _ = out.control.SetWriteDeadline(time.Time{}) }()
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	var counted time.Time
	for now := time.Now(); ; {
		if u, ok := v.Next(now); ok {
			out.write("traces", TraceUpdate{mapped(u.Traces, summaryOf), u.Skipped, u.First, view.Notice() == "", view.Notice()})
		}
		if now.Sub(counted) >= streamNumbers-streamEvery/2 {
			counted = now
			out.write("numbers", numbersOf(view.Numbers(now)))
		}
		if out.err != nil {
			return
		}
		select {
		case now = <-tick.C:
		case <-hc.Context().Done():
			return
		case <-v.Ended():
			out.write("bye", struct{}{})
			return
		}
	}
}

// eventWriter writes server-sent events.
type eventWriter struct {
	out     http.ResponseWriter
	control *http.ResponseController
	buf     []byte
	err     error // of the first event that could not be written; no other is written after it
}

func (w *eventWriter) write(event string, data any) {
	if w.err != nil {
		return
	}
	body, err := json.Marshal(data)
	if err != nil {
		w.err = err
		return
	}
	w.buf = append(append(append(w.buf[:0], "event: "...), event...), "\ndata: "...)
	w.buf = append(append(w.buf, body...), "\n\n"...)
	// If the connection has no deadlines, a client that takes nothing keeps only this goroutine waiting.
	_ = w.control.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, w.err = w.out.Write(w.buf); w.err == nil {
		w.err = w.control.Flush()
	}
	if cap(w.buf) > streamBuffer {
		w.buf = nil
	}
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func summaryOf(s live.Summary) TraceSummary {
	return TraceSummary{
		TraceID: s.TraceID, Kind: s.Group, Name: s.Name, Module: s.Module, Operation: s.Function, Event: s.Event, Room: s.Room, Client: s.Client,
		Connection: s.Connection, Thread: s.Thread, Start: s.Start.UnixMicro(), Duration: micros(s.Duration), Spans: s.Spans, Open: s.Open,
		Failed: s.Failed, Error: s.Error, Sampled: s.Sampled, LetGo: s.Dropped, Remote: s.Remote, RootMissing: s.RootMissing,
	}
}

func traceOf(t *live.Trace) Trace {
	return Trace{summaryOf(t.Summary), TraceDetails{
		SpanList:   mapped(t.SpanList, spanOf),
		LinkedFrom: mapped(t.LinkedFrom, backlinkOf),
		LinkCount:  t.LinkCount,
		Log:        mapped(t.Log, func(line []byte) json.RawMessage { return line }),
	}}
}

func spanOf(s live.Span) Span {
	out := Span{
		SpanID: s.SpanID, Parent: s.Parent, ParentIs: s.ParentIs, Depth: s.Depth, Name: s.Name, Kind: s.Kind, Module: s.Module, Operation: s.Function,
		Thread: s.Thread, Scope: s.Scope, Start: s.Start.UnixMicro(), Offset: micros(s.Offset), Duration: micros(s.Duration), Open: s.Open,
		Status: s.Status, Error: s.Error, Attributes: s.Attributes,
		Events: mapped(s.Events, func(e live.Event) SpanEvent { return SpanEvent{e.Name, micros(e.Offset), e.Attributes} }),
		Links: mapped(s.Links, func(l live.Link) SpanLink {
			return SpanLink{l.TraceID, l.SpanID, l.Here, l.Name, l.Function, l.Attributes}
		}),
	}
	if d := (Dropped{s.DroppedAttributes, s.DroppedEvents, s.DroppedLinks}); d != (Dropped{}) {
		out.Dropped = &d
	}
	return out
}

func backlinkOf(b live.Backlink) Backlink {
	return Backlink{b.TraceID, b.SpanID, b.To, b.Name, b.Function, b.Event, b.Room, b.Start.UnixMicro(), micros(b.Duration), b.Open, b.Failed}
}

func numbersOf(n live.Numbers) Numbers {
	k := n.Kept
	return Numbers{n.Connections, n.Messages, n.P50, n.P99, int(n.Over.Seconds()), Kept{k.Traces, k.Spans, int64(k.DroppedTraces), int64(k.DroppedSpans)}}
}

// traceErrors are the details of what may be wrong with a call for traces, by status, with what the status means there.
var traceErrors = map[int]struct{ text, detail string }{
	http.StatusBadRequest:         {"A filter cannot be used.", `min: "soon" is no duration such as 10ms`},
	http.StatusNotFound:           {"The trace is not in memory, or not any more.", "trace " + exampleTrace + " is not in memory, or not any more"},
	http.StatusServiceUnavailable: {"As many are watching as can.", "as many are watching as can; try again later"},
}
