package apptest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a span as it was exported.
type Span struct {
	Name        string
	Kind        tracepb.Span_SpanKind
	TraceID, ID string // in hexadecimal
	ParentID    string // empty if it has none
	Links       []Link
	Attrs       map[string]any // string, int64, bool, float64
	Events      []Event
	Failed      bool
	StatusText  string
	Start, End  time.Time
	Scope       Scope
	Resource    map[string]any
	TraceState  string
}

// Scope is the instrumentation scope that made a span.
type Scope struct{ Name, Version, SchemaURL string }

// Link is what a span is linked to.
type Link struct{ TraceID, SpanID string }

// Event is an event of a span.
type Event struct {
	Name  string
	Attrs map[string]any
}

// Collector receives spans by OTLP over HTTP and keeps them. Its methods may be called from any goroutine.
type Collector struct {
	URL string

	mu       sync.Mutex // guards what follows
	spans    []Span
	requests int
	changed  chan struct{}
}

// NewCollector starts a Collector that runs until the end of the test.
func NewCollector(t testing.TB) *Collector {
	c := &Collector{changed: make(chan struct{})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.receive(r); err != nil {
			t.Errorf("export: %v", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf") // an empty ExportTraceServiceResponse is no bytes
	}))
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// Env returns environment variables with which a program exports to the collector after at most 50 ms.
func (c *Collector) Env() []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.URL, "OTEL_BSP_SCHEDULE_DELAY=50"}
}

func (c *Collector) receive(r *http.Request) error {
	c.mu.Lock()
	c.requests++
	c.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("not a trace export: %s %s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return err
		}
		body = unzipped
	}
	p, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var req collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(p, &req); err != nil {
		return err
	}
	var spans []Span
	for _, rs := range req.GetResourceSpans() {
		resource := attributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				spans = append(spans, span(s, Scope{ss.GetScope().GetName(), ss.GetScope().GetVersion(), ss.GetSchemaUrl()}, resource))
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spans = append(c.spans, spans...)
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func span(s *tracepb.Span, scope Scope, resource map[string]any) Span {
	out := Span{
		Name: s.GetName(), Kind: s.GetKind(), TraceID: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()),
		ParentID: hex.EncodeToString(s.GetParentSpanId()), Attrs: attributes(s.GetAttributes()),
		Failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR, StatusText: s.GetStatus().GetMessage(),
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Scope: scope, Resource: resource, TraceState: s.GetTraceState(),
	}
	for _, l := range s.GetLinks() {
		out.Links = append(out.Links, Link{hex.EncodeToString(l.GetTraceId()), hex.EncodeToString(l.GetSpanId())})
	}
	for _, e := range s.GetEvents() {
		out.Events = append(out.Events, Event{e.GetName(), attributes(e.GetAttributes())})
	}
	return out
}

func attributes(list []*commonpb.KeyValue) map[string]any {
	m := make(map[string]any, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[kv.GetKey()] = v.IntValue
		case *commonpb.AnyValue_BoolValue:
			m[kv.GetKey()] = v.BoolValue
		case *commonpb.AnyValue_DoubleValue:
			m[kv.GetKey()] = v.DoubleValue
		default:
			m[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return m
}

// Spans returns all spans so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans[:len(c.spans):len(c.spans)]
}

// Requests returns how many requests were received, valid or not.
func (c *Collector) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Wait waits for a span of which want is true, and returns the first. what describes it in the failure message.
func (c *Collector) Wait(t testing.TB, what string, want func(Span) bool) Span {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		spans, changed := c.spans[:len(c.spans):len(c.spans)], c.changed
		c.mu.Unlock()
		for _, s := range spans {
			if want(s) {
				return s
			}
		}
		select {
		case <-changed:
		case <-deadline.C:
			require.FailNowf(t, "no such span", "%s, among %d", what, len(spans))
		}
	}
}
