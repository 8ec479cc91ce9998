package tracing

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// traceList is what GET /traces answers.
type traceList struct {
	Traces    []traceSummary `json:"traces"` // those that began last first
	Count     int            `json:"count"`
	Matching  int            `json:"matching"` // in memory, those above the limit included
	Recording bool           `json:"recording"`
	Notice    string         `json:"notice,omitempty"` // why nothing is recorded
	Numbers   numbers        `json:"numbers"`
}

// TracesHandler serves the live traces, and only reads:
//
//	GET /traces                        those in memory; room, operation, connection, min, errors, text and limit narrow it
//	GET /traces/{trace_id}             one, with its spans, the traces linked to it, and its lines of the trace log
//	GET /traces/{trace_id}.otlp.json   one, as OTLP JSON
//	GET /traces/live                   changes as server-sent events; filters as above
//
// Requests to it must not be traced, or looking at traces would make more of them. Its streams last until the client
// goes or EndViews is called.
func (t *Telemetry) TracesHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /traces", t.live.list)
	mux.HandleFunc("GET /traces/live", t.live.stream)
	mux.HandleFunc("GET /traces/{trace}", t.live.one)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
	})
	return mux
}

// EndViews ends the streams of all who watch the live traces, for good. Call it when the server stops.
func (t *Telemetry) EndViews() { t.live.end() }

func (l *live) list(w http.ResponseWriter, r *http.Request) {
	f, err := parseLiveFilter(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	now := time.Now()
	traces, matching := l.find(&f, now)
	answer(w, traceList{traces, len(traces), matching, l.notice == "", l.notice, l.numbers(now)})
}

// find returns the newest traces that match, those that began last first, and how many match in all.
func (l *live) find(f *liveFilter, now time.Time) (list []traceSummary, matching int) {
	taken, _, _ := l.since(0, mostListed)
	list = make([]traceSummary, 0, min(len(taken), f.limit))
	taken = slices.DeleteFunc(taken, func(t takenTrace) bool { return !f.matches(&t, now) })
	for i := range taken[:min(len(taken), f.limit)] {
		seen := seeTrace(taken[i], now)
		list = append(list, seen.summary())
	}
	newestFirst(list)
	return list, len(taken)
}

func newestFirst(list []traceSummary) {
	slices.SortStableFunc(list, func(a, b traceSummary) int {
		switch {
		case a.Start > b.Start:
			return -1
		case a.Start < b.Start:
			return 1
		default:
			return 0
		}
	})
}

func (l *live) one(w http.ResponseWriter, r *http.Request) {
	name, export := strings.CutSuffix(r.PathValue("trace"), ".otlp.json")
	var id trace.TraceID
	if b, err := hex.DecodeString(name); err != nil || len(b) != len(id) {
		refuse(w, http.StatusNotFound, "a trace id is 32 hexadecimal digits")
		return
	} else {
		copy(id[:], b)
	}
	taken, ok := l.trace(id)
	if !ok {
		detail := "trace " + id.String() + " is not in memory, or not any more"
		if l.notice != "" {
			detail = l.notice
		}
		refuse(w, http.StatusNotFound, detail)
		return
	}
	if export {
		body, err := l.otlpJSON(taken)
		if err != nil {
			refuse(w, http.StatusInternalServerError, "the trace cannot be exported")
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Disposition", `attachment; filename="trace-`+id.String()+`.otlp.json"`)
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // the client may be gone
		return
	}
	others, _, _ := l.since(0, mostListed)
	seen := seeTrace(taken, time.Now())
	answer(w, seen.body(others))
}

func answer(w http.ResponseWriter, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b) // the client may be gone
}

// refuse answers with an RFC 9457 problem.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The client may be gone.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
}
