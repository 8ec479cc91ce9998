package web

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Ids in examples of traces.
const (
	exampleTrace      = "a5d932f57166962f753027f8b42af8e2"
	exampleSpan       = "b9c7c989f97918e1"
	exampleConnection = "3f9a2b-17"
)

// traceErrors are the details of what may be wrong with a call for traces, by status, with what the status means there.
var traceErrors = map[int]struct{ text, detail string }{
	http.StatusBadRequest:         {"A filter cannot be used.", `min: "soon" is no duration such as 10ms`},
	http.StatusNotFound:           {"The trace is not in memory, or not any more.", "trace " + exampleTrace + " is not in memory, or not any more"},
	http.StatusServiceUnavailable: {"As many are watching as can.", "as many are watching as can; try again later"},
}

// member is one of an object's members as describeTraces writes them down. Type is a type of JSON Schema, the name of an
// object of the document, or free for an object of any members; [] before it makes a list of it, a ? behind it says that
// it may be absent, and a | that it may be null.
type member struct {
	name, kind, about string
	example           any
	values            []any
}

func objectOf(about string, members []member) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Description: about, Properties: make(map[string]*huma.Schema), AdditionalProperties: false}
	for _, m := range members {
		kind, optional := strings.CutSuffix(m.kind, "?")
		kind, null := strings.CutSuffix(kind, "|")
		kind, list := strings.CutPrefix(kind, "[]")
		p := &huma.Schema{Type: kind, Nullable: null, Enum: m.values}
		switch {
		case kind == "free":
			p.Type, p.AdditionalProperties = huma.TypeObject, true
		case kind[0] >= 'A' && kind[0] <= 'Z':
			p = &huma.Schema{Ref: "#/components/schemas/" + kind}
		}
		if list {
			p = &huma.Schema{Type: huma.TypeArray, Items: p}
		}
		p.Description = m.about
		if m.example != nil {
			p.Examples = []any{m.example}
		}
		s.Properties[m.name] = p
		if !optional {
			s.Required = append(s.Required, m.name)
		}
	}
	return s
}

// describeTraces describes the live traces, which another handler serves.
func describeTraces(doc *huma.OpenAPI) {
	oneOf := func(values ...any) []any { return values }
	summary := []member{
		{name: "trace_id", kind: "string", about: "The trace", example: exampleTrace},
		{name: "kind", kind: "string", about: "What it began with; each kind has room of its own in memory", values: oneOf("messages", "connections", "requests")},
		{name: "name", kind: "string", about: "The first span's: that whose parent is not here", example: "receive room/{room}"},
		{name: "module", kind: "string", about: "The first span's module in the trace log", example: "rooms"},
		{name: "operation", kind: "string", about: "The first span's function in the trace log", example: "receive"},
		{name: "event", kind: "string?", about: "What the room was told, such as message, typing or user_joined", example: "message"},
		{name: "room", kind: "string?", about: "The room that it is about", example: "general"},
		{name: "client_id", kind: "string?", about: "Who caused it", example: "user123"},
		{name: "connection_id", kind: "string?", about: "The connection that it came by", example: exampleConnection},
		{name: "thread", kind: "string", about: "The thread in the trace log", example: "conn-17"},
		{name: "start_micros", kind: "integer", about: "When it began, in Unix microseconds", example: exampleTime*1000 + 678},
		{name: "duration_micros", kind: "number", about: "How long it took, or has taken until now while spans are open", example: 1171.4},
		{name: "span_count", kind: "integer", about: "How many spans of it are in memory", example: 4},
		{name: "open_count", kind: "integer", about: "How many of them have not ended", example: 0},
		{name: "failed_count", kind: "integer", about: "How many of them failed", example: 0},
		{name: "error", kind: "string?", about: "What failed first"},
		{name: "sampled", kind: "boolean", about: "Whether it is exported, too", example: true},
		{name: "spans_let_go", kind: "integer?", about: "How many spans of it are not in memory any more"},
		{name: "remote_parent", kind: "boolean", about: "Whether whoever asked for it began the trace", example: false},
		{name: "root_missing", kind: "boolean?", about: "Whether the span that it began with is not in memory any more"},
	}
	whole := append(summary[:len(summary):len(summary)],
		member{name: "spans", kind: "[]Span", about: "Its spans, each behind its parent"},
		member{name: "linked_from", kind: "[]Backlink", about: "Spans of other traces that link to this one, the newest first; at most 200"},
		member{name: "linked_from_count", kind: "integer", about: "How many there are of these", example: 1},
		member{name: "log", kind: "[]free", about: "Its lines of the trace log, without messages' text"})
	for name, s := range map[string]*huma.Schema{
		"TraceSummary": objectOf("A trace, as lists tell it.", summary),
		"Trace":        objectOf("A trace with all that is known of it.", whole),
		"Traces": objectOf("The traces that were asked for.", []member{
			{name: "traces", kind: "[]TraceSummary", about: "Those that began last first"},
			{name: "count", kind: "integer", about: "How many are listed", example: 1},
			{name: "matching", kind: "integer", about: "How many there are in memory, those above the limit included", example: 1},
			{name: "recording", kind: "boolean", about: "Whether traces are recorded", example: true},
			{name: "notice", kind: "string?", about: "Why none are"},
			{name: "numbers", kind: "Numbers", about: "What goes on at the moment"},
		}),
		"Span": objectOf("One operation of a trace.", []member{
			{name: "span_id", kind: "string", about: "The span", example: exampleSpan},
			{name: "parent_span_id", kind: "string?", about: "The span that it is a part of"},
			{name: "parent_is", kind: "string", about: "Where that is: among these spans, nowhere, in another process, or not in memory any more", values: oneOf("none", "here", "remote", "missing")},
			{name: "depth", kind: "integer", about: "How many of these spans it is within", example: 0},
			{name: "name", kind: "string", about: "Its name, the same for all rooms", example: "receive room/{room}"},
			{name: "kind", kind: "string", about: "Its kind, as OpenTelemetry has them", values: oneOf("consumer", "internal", "server", "client", "producer")},
			{name: "module", kind: "string", about: "Its module in the trace log", example: "rooms"},
			{name: "operation", kind: "string", about: "Its function in the trace log", example: "receive"},
			{name: "thread", kind: "string", about: "Its thread in the trace log", example: "conn-17"},
			{name: "scope", kind: "string", about: "The package that made it", example: "github.com/traceroom/traceroom/tracing"},
			{name: "start_micros", kind: "integer", about: "When it began, in Unix microseconds", example: exampleTime*1000 + 678},
			{name: "offset_micros", kind: "number", about: "How long after the trace", example: 0},
			{name: "duration_micros", kind: "number", about: "How long it took, or has taken until now", example: 875.2},
			{name: "open", kind: "boolean", about: "Whether it has not ended", example: false},
			{name: "status", kind: "string", about: "How it ended", values: oneOf("unset", "ok", "error")},
			{name: "error", kind: "string?", about: "What failed"},
			{name: "attributes", kind: "free", about: "What is known of it", example: map[string]any{"traceroom.connection.id": exampleConnection, "traceroom.room.seq": 42}},
			{name: "events", kind: "[]SpanEvent", about: "What happened within it, such as a member being dropped", example: []any{}},
			{name: "links", kind: "[]SpanLink", about: "Spans of other traces that it goes back to, such as the connection's"},
			{name: "dropped", kind: "Dropped?", about: "What it had no room for"},
		}),
		"SpanEvent": objectOf("Something that happened within a span.", []member{
			{name: "name", kind: "string", about: "What happened", example: "slow"},
			{name: "offset_micros", kind: "number", about: "How long after the trace's beginning", example: 640.5},
			{name: "attributes", kind: "free", about: "What is known of it", example: map[string]any{"traceroom.connection.id": "3f9a2b-12"}},
		}),
		"SpanLink": objectOf("A span that another goes back to.", []member{
			{name: "trace_id", kind: "string", about: "Its trace", example: "9f8fae6a5b0b1a4f1d7a51c37e0a3c11"},
			{name: "span_id", kind: "string", about: "The span", example: "3aacfe354a6f2395"},
			{name: "here", kind: "boolean", about: "Whether its trace is in memory", example: true},
			{name: "name", kind: "string?", about: "Its name, if it is in memory", example: "GET /ws/{room_id}/{client_id}"},
			{name: "operation", kind: "string?", about: "Its function in the trace log, if it is in memory", example: "connect"},
			{name: "attributes", kind: "free", about: "What is known of the link", example: map[string]any{}},
		}),
		"Backlink": objectOf("A span of another trace that links to this one: of a connection's trace, all that it did.", []member{
			{name: "trace_id", kind: "string", about: "Its trace", example: exampleTrace},
			{name: "span_id", kind: "string", about: "The span", example: exampleSpan},
			{name: "to_span_id", kind: "string", about: "The span of this trace that it links to", example: "3aacfe354a6f2395"},
			{name: "name", kind: "string", about: "Its name", example: "receive room/{room}"},
			{name: "operation", kind: "string", about: "Its function in the trace log", example: "receive"},
			{name: "event", kind: "string?", about: "What the room was told, such as message, typing or user_joined", example: "message"},
			{name: "room", kind: "string?", about: "The room that it is about", example: "general"},
			{name: "start_micros", kind: "integer", about: "When it began, in Unix microseconds", example: exampleTime*1000 + 678},
			{name: "duration_micros", kind: "number", about: "How long it took, or has taken until now", example: 875.2},
			{name: "open", kind: "boolean", about: "Whether it has not ended", example: false},
			{name: "failed", kind: "boolean", about: "Whether it failed", example: false},
		}),
		"Dropped": objectOf("What a span had no room for.", []member{
			{name: "attributes", kind: "integer", about: "How many attributes"},
			{name: "events", kind: "integer", about: "How many events"},
			{name: "links", kind: "integer", about: "How many links"},
		}),
		"Numbers": objectOf("What goes on at the moment.", []member{
			{name: "connections", kind: "integer", about: "How many are open", example: 5},
			{name: "messages_per_second", kind: "number", about: "Over the last five seconds", example: 2.4},
			{name: "p50_micros", kind: "number|", about: "What half of the deliveries took at most, from receipt until the last member was written to; estimated from the histogram; null while there are none", example: 412.5},
			{name: "p99_micros", kind: "number|", about: "What 99 of 100 took at most", example: 1180.1},
			{name: "latency_seconds", kind: "integer", about: "Over how many seconds these two are; 0: since the start", example: 60},
			{name: "kept", kind: "Kept", about: "How much is in memory"},
		}),
		"Kept": objectOf("How much is in memory, and how much is not any more.", []member{
			{name: "traces", kind: "integer", about: "Traces in memory", example: 812},
			{name: "spans", kind: "integer", about: "Their spans", example: 2950},
			{name: "let_go_traces", kind: "integer", about: "Traces that there was no more room for", example: 120},
			{name: "let_go_spans", kind: "integer", about: "Their spans", example: 480},
		}),
	} {
		doc.Components.Schemas.Map()[name] = s
	}

	str := func(example any) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Examples: []any{example}} }
	plain := &huma.Schema{Type: huma.TypeString}
	one, most := 1.0, 1000.0
	filters := []*huma.Param{
		{Name: "room", In: "query", Description: "Only those about this room", Schema: str("general")},
		{Name: "operation", In: "query", Description: "Only those with this operation in them: a function of the trace log, or a span's name", Schema: plain},
		{Name: "connection", In: "query", Description: "Only those of this connection: its id, or its thread such as `conn-17`", Schema: plain},
		{Name: "min", In: "query", Description: "Only those that took at least so long: a duration such as `10ms`; a bare number is milliseconds", Schema: plain},
		{Name: "errors", In: "query", Description: "Only those in which something failed", Schema: &huma.Schema{Type: huma.TypeBoolean}},
		{Name: "text", In: "query", Description: "Only those with this in an id, a name, an attribute or an error, in upper or lower case", Schema: plain},
		{Name: "limit", In: "query", Description: "The newest so many", Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &one, Maximum: &most, Default: 100}},
	}
	id := []*huma.Param{{Name: "trace_id", In: "path", Required: true, Description: "The trace: 32 hexadecimal digits", Schema: str(exampleTrace)}}
	answers := func(about, kind string, s *huma.Schema) map[string]*huma.Response {
		return map[string]*huma.Response{"200": {Description: about, Content: map[string]*huma.MediaType{kind: {Schema: s}}}}
	}
	ref := func(name string) *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/" + name} }
	for _, op := range []*huma.Operation{
		{
			OperationID: "list-traces", Path: "/traces", Summary: "The newest traces", Parameters: filters,
			Description: "Those that have not ended included. What is given narrows the list; all of it must hold.",
			Responses:   answers("OK", "application/json", ref("Traces")), Errors: []int{http.StatusBadRequest},
		},
		{
			OperationID: "get-trace", Path: "/traces/{trace_id}", Summary: "One trace", Parameters: id,
			Description: "Its spans in their nesting with attributes, events and links, the spans of other traces that link to it, and its lines of the trace log.",
			Responses:   answers("OK", "application/json", ref("Trace")), Errors: []int{http.StatusNotFound},
		},
		{
			OperationID: "export-trace", Path: "/traces/{trace_id}.otlp.json", Summary: "Save a trace", Parameters: id,
			Description: "As OTLP JSON, which Jaeger's search page takes as an upload. Spans that are open end now, and have the attribute `traceroom.open`.",
			Responses:   answers("The trace, as `TracesData` of OTLP", "application/json", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}), Errors: []int{http.StatusNotFound},
		},
		{
			OperationID: "watch-traces", Path: "/traces/live", Summary: "Traces as they happen", Parameters: filters,
			Description: "Server-sent events, with the same filters. A viewer who is too slow misses updates and is told how many; the chat does not wait.\n\n" +
				"- `traces`: those that began or changed, at most four times a second and 50 at a time, as `traces`, a list of TraceSummary. `skipped` is how many more " +
				"there were; `recording` and `notice` are as above. The first such event has those in memory, up to `limit`, and `first`.\n" +
				"- `numbers`: each second, Numbers.\n" +
				"- `bye`: the server goes; ask again later.\n\n" +
				"At most 32 watch at once.",
			Responses: answers("Events, until the client or the server goes", "text/event-stream", plain),
			Errors:    []int{http.StatusBadRequest, http.StatusServiceUnavailable},
		},
	} {
		op.Method, op.Tags = http.MethodGet, []string{tagTraces}
		doc.AddOperation(op)
	}
}
