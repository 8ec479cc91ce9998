package tracing

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/live"
	"github.com/traceroom/traceroom/tracing/span"
)

// Values of labels that are known from the start: their series are 0 until something happens.
var (
	transports  = []string{"websocket", "socket.io"}
	messageVias = []string{"websocket", "socket.io", "http"}
	refusals    = []string{"request_too_long"}
	// The reasons for which WebSocket connections end, by close code (RFC 6455 section 7.4.1, and the server's own).
	closeReasons = map[int]string{
		1000: "normal", 1001: "going_away", 1002: "protocol_error", 1003: "unsupported_data", 1005: "no_code", 1006: "connection_lost",
		1007: "invalid_data", 1009: "message_too_big", 1011: "server_error", 4001: "room_deleted", 4003: "not_allowed", 4008: "too_slow",
	}
	// The reasons of https://socket.io/docs/v4/server-api/#event-disconnect that can come up here.
	disconnectReasons = []string{
		"transport close", "transport error", "ping timeout", "parse error", "forced close", "server shutting down", "too slow",
		"client namespace disconnect", "server namespace disconnect", "forced server close",
	}
)

// otherReason stands for every code and reason that is not listed: a client may send any.
const otherReason = "other"

const (
	dropSlow   = "slow"   // the member's queue was full
	dropClosed = "closed" // the connection ended before its bytes were written
)

// metrics are the counts, gauges and histograms of GET /metrics. No room or client is a label. All may be written from
// any goroutine.
type metrics struct {
	registry     *prometheus.Registry
	connections  *prometheus.GaugeVec
	messages     *prometheus.CounterVec
	deliveries   *prometheus.CounterVec
	dropped      *prometheus.CounterVec
	disconnects  *prometheus.CounterVec
	refused      *prometheus.CounterVec
	operations   *prometheus.HistogramVec
	latency      *prometheus.HistogramVec
	batch        prometheus.Observer
	spansDropped prometheus.Counter
	lag          *exemplarHistogram
	catchUps     prometheus.Counter
	caughtUp     prometheus.Counter
	relayErrors  prometheus.Counter
	reconnects   prometheus.Counter
	connected    prometheus.Gauge
	storeErrors  prometheus.Counter

	byTransport map[string]*transportMetrics
	byOperation map[*span.Operation]*operationMetrics
	sql         *operationMetrics // operations that are not in the table
	other       *operationMetrics // spans of HTTP requests and libraries
}

// transportMetrics are the series of one transport, looked up once.
type transportMetrics struct {
	deliveries prometheus.Counter
	latency    *exemplarHistogram
	messages   prometheus.Counter
}

// operationMetrics are the series of one operation, looked up once.
type operationMetrics struct{ ok, failed *exemplarHistogram }

// exemplarHistogram makes an exemplar of the first observation of a sampled trace in each exemplarEvery: making one costs several
// times what the observation does.
type exemplarHistogram struct {
	prometheus.Observer
	next atomic.Int64 // Unix nanoseconds from which on an exemplar is due
}

const exemplarEvery = time.Second / 4

// observe counts what took this long and ended at now, as the span of this context shows.
func (h *exemplarHistogram) observe(seconds float64, sc trace.SpanContext, now time.Time) {
	if sc.IsSampled() {
		at, due := now.UnixNano(), h.next.Load()
		// A due time far ahead was noted before the clock was set back.
		if (at >= due || due-at > int64(exemplarEvery)) && h.next.CompareAndSwap(due, at+int64(exemplarEvery)) {
			h.Observer.(prometheus.ExemplarObserver).ObserveWithExemplar(seconds, prometheus.Labels{
				"trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String(),
			})
			return
		}
	}
	h.Observe(seconds)
}

// Buckets from tens of microseconds, which a message takes here when all is well, to seconds, for which nobody waits.
var (
	latencyBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	batchBuckets   = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}
)

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	registered := promauto.With(m.registry)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return registered.NewGaugeVec(prometheus.GaugeOpts{Name: "traceroom_" + name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return registered.NewCounterVec(prometheus.CounterOpts{Name: "traceroom_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return registered.NewHistogramVec(prometheus.HistogramOpts{Name: "traceroom_" + name, Help: help, Buckets: buckets}, labels)
	}
	m.connections = gauge("connections", "Open client connections.", "transport")
	m.messages = counter("messages_total", "Messages stored and published, by the transport that brought them.", "transport")
	m.deliveries = counter("deliveries_total", "Events written to a member's connection.", "transport")
	m.dropped = counter("dropped_total", "Events that a member was not sent, by reason.", "reason")
	m.disconnects = counter("disconnects_total", "Connections that ended, by reason.", "transport", "reason")
	m.refused = counter("refused_total", "Requests that were refused before they were read, by reason.", "reason")
	m.operations = histogram("operation_duration_seconds", "Time of an operation, from its span.", latencyBuckets, "operation", "outcome")
	m.latency = histogram("delivery_latency_seconds",
		"Time from the receipt of an event until it was written to the last member of a transport, once for each broadcast.", latencyBuckets, "transport")
	m.batch = histogram("store_batch_size", "Messages stored in one transaction.", batchBuckets).WithLabelValues()
	m.spansDropped = counter("spans_dropped_total", "Sampled spans that could not be exported.").WithLabelValues()
	m.lag = &exemplarHistogram{Observer: histogram("relay_lag_seconds",
		"Time from the publication of an event on another node, by that node's clock, until it arrived here.", latencyBuckets).WithLabelValues()}
	m.catchUps = counter("relay_catch_up_reads_total", "Reads from the store that found messages of which no other node had told.").WithLabelValues()
	m.caughtUp = counter("relay_caught_up_total", "Messages of which no other node had told, read from the store.").WithLabelValues()
	m.relayErrors = counter("relay_errors_total", "Events that could not be sent to other nodes or read from them.").WithLabelValues()
	m.reconnects = counter("relay_reconnects_total", "Times that the connection to the other nodes was lost and restored.").WithLabelValues()
	m.connected = gauge("relay_connected", "1 while other nodes can be reached, or there are none.").WithLabelValues()
	m.connected.Set(1)
	m.storeErrors = counter("store_errors_total", "Store operations that failed through a fault of the store.").WithLabelValues()
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	m.byTransport = make(map[string]*transportMetrics)
	for _, t := range messageVias {
		m.byTransport[t] = &transportMetrics{messages: m.messages.WithLabelValues(t)}
	}
	for _, t := range transports {
		m.connections.WithLabelValues(t)
		m.byTransport[t].deliveries = m.deliveries.WithLabelValues(t)
		m.byTransport[t].latency = &exemplarHistogram{Observer: m.latency.WithLabelValues(t)}
	}
	for _, r := range []string{dropSlow, dropClosed} {
		m.dropped.WithLabelValues(r)
	}
	for _, r := range refusals {
		m.refused.WithLabelValues(r)
	}
	for _, r := range closeReasons {
		m.disconnects.WithLabelValues("websocket", r)
	}
	for _, r := range disconnectReasons {
		m.disconnects.WithLabelValues("socket.io", labelOf(r))
	}
	for _, t := range transports {
		m.disconnects.WithLabelValues(t, otherReason)
	}
	m.byOperation = make(map[*span.Operation]*operationMetrics)
	for op := range table.Operations() {
		m.byOperation[op] = m.operation(op.Function)
	}
	m.sql = m.operation("sql")
	m.other = m.operation("http")
	return m
}

func (m *metrics) operation(name string) *operationMetrics {
	return &operationMetrics{
		ok:     &exemplarHistogram{Observer: m.operations.WithLabelValues(name, "ok")},
		failed: &exemplarHistogram{Observer: m.operations.WithLabelValues(name, "error")},
	}
}

// delivered counts the outcome of an event's delivery, of which the span has the context sc.
func (m *metrics) delivered(ev *rooms.Event, d rooms.Delivered, sc trace.SpanContext) {
	for _, by := range d.ByTransport {
		if by.Refused > 0 {
			m.dropped.WithLabelValues(dropSlow).Add(float64(by.Refused))
		}
		if by.Lost > 0 {
			m.dropped.WithLabelValues(dropClosed).Add(float64(by.Lost))
		}
		series := m.byTransport[by.Transport]
		if series == nil || series.deliveries == nil {
			continue
		}
		series.deliveries.Add(float64(by.Written))
		if ev.Kind == rooms.EventMessage && by.Written > 0 {
			series.latency.observe(max(0, by.Last.Sub(ev.Received).Seconds()), sc, by.Last)
		}
	}
}

// stored counts a message that was stored and published.
func (m *metrics) stored(transport string) {
	if series := m.byTransport[transport]; series != nil {
		series.messages.Inc()
	}
}

// disconnected counts the end of a connection.
func (m *metrics) disconnected(transport string, code int, reason string) {
	label := closeReasons[code]
	if transport == "socket.io" && slices.Contains(disconnectReasons, reason) {
		label = labelOf(reason)
	}
	if label == "" {
		label = otherReason
	}
	m.disconnects.WithLabelValues(transport, label).Inc()
}

// labelOf returns a reason of Socket.IO's as the value of a label.
func labelOf(reason string) string { return strings.ReplaceAll(reason, " ", "_") }

// gauges registers the metrics whose values counts returns, whenever they are read.
func (m *metrics) gauges(counts func() rooms.Counts) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "traceroom_rooms", Help: "Rooms that exist."},
			func() float64 { return float64(counts().Rooms) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "traceroom_members", Help: "Connections in rooms, on this node."},
			func() float64 { return float64(counts().Members) }),
	)
}

// linesLost registers the count of lines that a sink of the trace log has lost, which lines returns.
func (m *metrics) linesLost(sink string, lines func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "traceroom_trace_lines_lost_total", Help: "Lines of the trace log that could not be written, by where to.",
		ConstLabels: prometheus.Labels{"sink": sink},
	}, func() float64 { return float64(lines()) }))
}

// handler serves Prometheus' text format, and OpenMetrics with exemplars to those that ask for it.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: m.registry})
}

// operationTimes is the Observer that times operations.
type operationTimes struct{ m *metrics }

var _ observer = operationTimes{}

// OnStart implements sdktrace.SpanProcessor, and does nothing.
func (operationTimes) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor, for the spans of libraries.
func (p operationTimes) OnEnd(s sdktrace.ReadOnlySpan) {
	h := p.m.other.ok
	if s.Status().Code == codes.Error {
		h = p.m.other.failed
	}
	end := span.EndOf(s)
	h.observe(end.Sub(s.StartTime()).Seconds(), s.SpanContext(), end)
}

// Began implements span.Observer, and does nothing.
func (operationTimes) Began(context.Context, *span.Span) {}

// Ended implements span.Observer.
func (p operationTimes) Ended(s *span.Span) {
	series := p.m.byOperation[s.Operation()]
	if series == nil {
		series = p.m.sql
	}
	h := series.ok
	if s.HasMore() && s.Status().Code == codes.Error {
		h = series.failed
	}
	took := s.Duration()
	h.observe(took.Seconds(), s.SpanContext(), s.StartTime().Add(took))
}

// Shutdown implements sdktrace.SpanProcessor, and does nothing.
func (operationTimes) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor, and does nothing.
func (operationTimes) ForceFlush(context.Context) error { return nil }

// reading returns what the live traces' numbers are made from.
func (m *metrics) reading() live.Reading {
	r := live.Reading{Latency: make([]uint64, len(latencyBuckets)+1)}
	for _, via := range messageVias {
		var d dto.Metric
		if m.byTransport[via].messages.Write(&d) == nil {
			r.Messages += d.GetCounter().GetValue()
		}
	}
	for _, t := range transports {
		var connections, latency dto.Metric
		if m.connections.WithLabelValues(t).Write(&connections) == nil {
			r.Connections += int(connections.GetGauge().GetValue())
		}
		if m.byTransport[t].latency.Observer.(prometheus.Metric).Write(&latency) != nil {
			continue
		}
		below := uint64(0)
		for i, b := range latency.GetHistogram().GetBucket() {
			r.Latency[i] += b.GetCumulativeCount() - below
			below = b.GetCumulativeCount()
		}
		r.Latency[len(latencyBuckets)] += latency.GetHistogram().GetSampleCount() - below
	}
	return r
}
