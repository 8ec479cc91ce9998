package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traceroom/traceroom/web"
)

// mockSpan is a span of a mock's trace, as far as a test says what it is. Times are microseconds from the trace's start.
type mockSpan struct {
	operation, name, kind, module string
	depth                         int
	from, took                    float64
	open                          bool
	failed                        string
	attributes                    map[string]any
	events                        []map[string]any
	link                          string // a trace
}

// mockTraces is the live traces of a mock: what a test puts there, in the words of the server.
type mockTraces struct {
	mu      sync.Mutex // guards all below
	list    []map[string]any
	changed chan struct{}
	notice  string
	full    bool // refuses to stream
	streams int
	asked   []string // queries of streams
	numbers map[string]any
	over    chan struct{}
}

func newMockTraces() *mockTraces {
	return &mockTraces{changed: make(chan struct{}), over: make(chan struct{}), numbers: map[string]any{
		"connections": 12, "messages_per_second": 3.4, "p50_micros": 412.5, "p99_micros": 2310.0, "latency_seconds": 60,
		"kept": map[string]any{"traces": 750, "spans": 2871, "let_go_traces": 9318, "let_go_spans": 35120},
	}}
}

func (m *mockTraces) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /traces/live", m.stream)
	mux.HandleFunc("GET /traces/{id}", m.one)
}

// put adds a trace, or replaces the one that has the id.
func (m *mockTraces) put(id string, at time.Time, about map[string]any, spans ...mockSpan) {
	end, open, failed, problem := 0., 0, 0, ""
	list := make([]any, 0, len(spans))
	log := []any{}
	for i, s := range spans {
		end = max(end, s.from+s.took)
		status := "unset"
		if s.open {
			open++
		}
		if s.failed != "" {
			failed++
			status, problem = "error", s.failed
		}
		links := []any{}
		if s.link != "" {
			links = append(links, map[string]any{
				"trace_id": s.link, "span_id": s.link[:16], "here": true, "name": "GET /ws/{room_id}/{client_id}", "operation": "connect", "attributes": map[string]any{},
			})
		}
		parent := "here"
		if i == 0 {
			parent = "none"
		}
		if s.events == nil {
			s.events = []map[string]any{}
		}
		attributes := map[string]any{}
		for key, value := range s.attributes {
			attributes[key] = value
			switch key {
			case "traceroom.connection.id":
				attributes[key] = about["connection_id"]
			case "messaging.client.id":
				attributes[key] = about["client_id"]
			}
		}
		spanID := id[:14] + fmt.Sprintf("%02x", i)
		list = append(list, map[string]any{
			"span_id": spanID, "parent_is": parent, "depth": s.depth, "name": s.name, "kind": s.kind, "module": s.module,
			"operation": s.operation, "thread": about["thread"], "scope": "x", "offset_micros": s.from, "duration_micros": s.took,
			"open": s.open, "status": status, "error": s.failed, "attributes": attributes, "events": s.events, "links": links,
		})
		log = append(log, map[string]any{
			"event": "ENTER", "module": s.module, "function": s.operation, "args": `{"room_id":"observability"}`, "span_id": spanID,
		}, map[string]any{
			"event": "EXIT", "module": s.module, "function": s.operation, "result": `{}`, "durationMicros": int(s.took), "span_id": spanID,
		})
	}
	t := map[string]any{
		"trace_id": id, "kind": "messages", "name": spans[0].name, "module": spans[0].module, "operation": spans[0].operation,
		"thread": "conn-17", "start_micros": at.UnixMicro(), "duration_micros": end, "span_count": len(spans), "open_count": open,
		"failed_count": failed, "error": problem, "sampled": true, "spans": list, "linked_from": []any{}, "linked_from_count": 0, "log": log,
	}
	for key, value := range about {
		t[key] = value
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(other map[string]any) bool { return other["trace_id"] == id })
	m.list = append(m.list, t)
	close(m.changed)
	m.changed = make(chan struct{})
}

// end ends all streams; those that are opened later go on.
func (m *mockTraces) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.over)
	m.over = make(chan struct{})
}

// get returns a trace as it will be answered, to be changed before anybody asks.
func (m *mockTraces) get(id string) (trace map[string]any, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.list, func(t map[string]any) bool { return t["trace_id"] == id })
	if i < 0 {
		return nil, false
	}
	return m.list[i], true
}

// forget makes a trace one that is not in memory any more.
func (m *mockTraces) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, func(other map[string]any) bool { return other["trace_id"] == id })
}

func (m *mockTraces) one(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.list {
		if t["trace_id"] == r.PathValue("id") {
			reply(w, http.StatusOK, t)
			return
		}
	}
	web.Refuse(w, http.StatusNotFound, "trace "+r.PathValue("id")+" is not in memory, or not any more")
}

func (m *mockTraces) stream(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	if m.full {
		m.mu.Unlock()
		web.Refuse(w, http.StatusServiceUnavailable, "as many are watching as can; try again later")
		return
	}
	m.streams++
	m.asked = append(m.asked, r.URL.RawQuery)
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.streams--
		m.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(event string, body any) {
		b, _ := json.Marshal(body)
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, b)
		_ = http.NewResponseController(w).Flush()
	}
	for first := true; ; first = false {
		m.mu.Lock()
		changed := m.changed
		traces := []any{}
		for _, t := range m.list {
			if matchesMock(t, r) {
				traces = append(traces, t)
			}
		}
		event := map[string]any{"traces": traces, "skipped": 0, "first": first, "recording": m.notice == "", "notice": m.notice}
		numbers, over := m.numbers, m.over
		m.mu.Unlock()
		send("traces", event)
		send("numbers", numbers)
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-over:
			return
		}
	}
}

func matchesMock(t map[string]any, r *http.Request) bool {
	q := r.URL.Query()
	text, _ := json.Marshal(t)
	return (q.Get("errors") == "" || t["failed_count"] != 0) &&
		(q.Get("room") == "" || t["room"] == q.Get("room")) &&
		(q.Get("operation") == "" || strings.Contains(string(text), `"operation":"`+q.Get("operation")+`"`)) &&
		(q.Get("connection") == "" || t["connection_id"] == q.Get("connection")) &&
		strings.Contains(strings.ToLower(string(text)), strings.ToLower(q.Get("text")))
}

// snapshot returns how many streams are open and what all were asked with.
func (m *mockTraces) snapshot() (streams int, asked []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams, slices.Clone(m.asked)
}

// connectTrace is the trace that a connection began with.
const connectTrace = "c0ffee00c0ffee00c0ffee00c0ffee17"

// connected is the spans of a connect.
func connected() []mockSpan {
	attributes := map[string]any{
		"traceroom.connection.id": "9f3ac1-17", "http.request.method": "GET", "http.response.status_code": 101,
		"http.route": "/ws/{room_id}/{client_id}", "messaging.destination.name": "observability", "messaging.system": "websocket",
	}
	return []mockSpan{
		{operation: "connect", name: "GET /ws/{room_id}/{client_id}", kind: "server", module: "web", took: 84, attributes: attributes},
		{operation: "join", name: "join room/{room}", kind: "internal", module: "rooms", depth: 1, from: 101, took: 512, attributes: map[string]any{"traceroom.room.participants": 5}},
		{operation: "broadcast", name: "broadcast room/{room}", kind: "producer", module: "rooms", depth: 2, from: 471, took: 12},
		{operation: "deliver", name: "deliver room/{room}", kind: "internal", module: "rooms", depth: 3, from: 476, took: 71},
	}
}

// received is the spans of a message.
func received(receive, stored, deliver float64) []mockSpan {
	common := map[string]any{
		"traceroom.connection.id": "9f3ac1-17", "traceroom.event": "message", "traceroom.room.seq": 9, "messaging.client.id": "lena",
		"messaging.destination.name": "observability", "messaging.destination.template": "room/{room}", "messaging.message.body.size": 64,
		"messaging.operation.name": "receive", "messaging.operation.type": "process", "messaging.system": "websocket", "network.protocol.name": "websocket",
	}
	return []mockSpan{
		{operation: "receive", name: "receive room/{room}", kind: "consumer", module: "rooms", took: receive, attributes: common, link: connectTrace},
		{operation: "append", name: "append", kind: "client", module: "store", depth: 1, from: 38, took: stored, attributes: map[string]any{"traceroom.batch.size": 1, "traceroom.room.seq": 9}},
		{operation: "broadcast", name: "broadcast room/{room}", kind: "producer", module: "rooms", depth: 1, from: 52 + stored, took: 21},
		{operation: "deliver", name: "deliver room/{room}", kind: "internal", module: "rooms", depth: 2, from: 66 + stored, took: deliver,
			attributes: map[string]any{"traceroom.recipients": 5, "traceroom.written": 5, "traceroom.dropped": 0, "traceroom.slowest": "9f3ac1-12"},
			events:     []map[string]any{{"name": "slow", "offset_micros": 66 + stored + deliver*.8, "attributes": map[string]any{"traceroom.connection.id": "9f3ac1-12"}}}},
	}
}

func about(event, room, client string, connection int) map[string]any {
	m := map[string]any{"connection_id": fmt.Sprint("9f3ac1-", connection), "thread": fmt.Sprint("conn-", connection)}
	for key, value := range map[string]string{"event": event, "room": room, "client_id": client} {
		if value != "" {
			m[key] = value
		}
	}
	return m
}
