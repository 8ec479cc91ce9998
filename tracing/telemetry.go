package tracing

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/live"
	"github.com/traceroom/traceroom/tracing/otlp"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/tracelog"
)

// Config is what Telemetry is made of.
type Config struct {
	ServiceName string // unless OTEL_SERVICE_NAME says otherwise
	Version     string
	// TraceLog is written the trace log's lines; nil: there is no trace log. Whoever made it flushes it after Shutdown.
	TraceLog zapcore.WriteSyncer
	// TraceText puts messages' text into the trace log.
	TraceText bool
	// LiveTraces is how many of the newest traces that began with a message are kept in memory; of those that began with a
	// connection, and of all others, half as many each. 0: none.
	LiveTraces int
	// Log is the program's own log: faults of the server, and errors of exporting.
	Log *zap.Logger
	// Getenv reads the OTEL_* variables that are not read by the OpenTelemetry libraries themselves.
	Getenv func(string) string
}

// Telemetry is all that observes one server. Its methods may be called from any goroutine.
type Telemetry struct {
	tracer   *span.Tracer
	traces   *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	metrics  *metrics
	live     *live.Store
	log      *zap.Logger
	withText bool
	sql      bool // what the store sends is traced
}

// observer is what spans are given to: those of operations by our tracer, those of libraries by the SDK.
type observer interface {
	span.Observer
	sdktrace.SpanProcessor
}

// New sets OpenTelemetry up. It changes one thing of the process: OpenTelemetry's error handler. An error names the
// environment variable that cannot be used.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Warn("telemetry", zap.Error(err)) }))
	res := newResource(ctx, cfg)
	sampler, never, err := samplerFromEnv(cfg.Getenv)
	if err != nil {
		return nil, err
	}
	off := never && cfg.TraceLog == nil // nothing would be made of spans but metrics
	if !off {
		// Sampling thins what is exported, never the log or the metrics.
		sampler = sdktrace.AlwaysRecord(sampler)
	}
	t := &Telemetry{metrics: newMetrics(), log: cfg.Log, withText: cfg.TraceText && cfg.TraceLog != nil}

	// What becomes of spans.
	var observers []observer
	if cfg.TraceLog != nil {
		observers = append(observers, tracelog.New(table, cfg.TraceLog, opReceive))
	}
	observers = append(observers, operationTimes{t.metrics})
	t.live = newLive(cfg.LiveTraces, off, t.metrics, res)
	if t.live.Notice() == "" {
		observers = append(observers, t.live)
	}
	export, err := otlp.FromEnv(ctx, cfg.Getenv, res, func(spans int) { t.metrics.spansDropped.Add(float64(spans)) })
	if err != nil {
		return nil, err
	}

	// Two make spans: the SDK's provider those of libraries, the tracer those of operations. The provider ends all of the above.
	own := span.Config{
		Table: table, Sampler: sampler, ErrorType: errorType, Resource: res, Off: off,
		Scope: instrumentation.Scope{Name: scope, Version: cfg.Version, SchemaURL: semconv.SchemaURL},
	}
	libraries := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler)}
	switch export := export.(type) {
	case nil:
	case observer:
		observers = append(observers, export)
	default: // one of OpenTelemetry's, such as that to the console
		own.Processors = append(own.Processors, export)
	}
	for _, o := range observers {
		own.Observers = append(own.Observers, o)
		libraries = append(libraries, sdktrace.WithSpanProcessor(o))
	}
	for _, p := range own.Processors {
		libraries = append(libraries, sdktrace.WithSpanProcessor(p))
	}
	t.traces = sdktrace.NewTracerProvider(libraries...)
	own.Provider = t.traces
	t.tracer = span.NewTracer(own)

	reader, err := otelprom.New(otelprom.WithRegisterer(t.metrics.registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res), sdkmetric.WithView(httpMetrics))
	return t, nil
}

// newResource returns what all spans are of. If something of it cannot be found out, it is left out: that is no reason not to serve.
func newResource(ctx context.Context, cfg Config) *resource.Resource {
	res, err := resource.New(ctx,
		resource.WithService(),
		resource.WithAttributes(semconv.ServiceName(cfg.ServiceName), semconv.ServiceVersion(cfg.Version), address()),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithProcessRuntimeName(), resource.WithProcessRuntimeVersion(),
		resource.WithFromEnv())
	if err != nil {
		cfg.Log.Warn("resource is incomplete", zap.Error(err))
	}
	if res == nil {
		res = resource.Empty()
	}
	return res
}

// newLive returns the store of the newest traces: so many that began with a message, and half as many each that began with a connection
// and with anything else. off says that there are no spans.
func newLive(traces int, off bool, m *metrics, res *resource.Resource) *live.Store {
	notice := ""
	switch {
	case traces <= 0:
		notice = "Live traces are turned off."
	case off:
		notice = "Nothing is recorded: OTEL_TRACES_SAMPLER is always_off and there is no trace log."
	}
	return live.New(live.Config{
		Table:  table,
		Groups: []live.Group{{Name: groupMessages, Traces: traces}, {Name: groupConnections, Traces: (traces + 1) / 2}, {Name: groupRequests, Traces: (traces + 1) / 2}},
		Notice: notice, Room: keyRoom.Name(), Client: keyClient.Name(), Event: keyEvent.Name(),
		Enter:  func(s sdktrace.ReadOnlySpan) []byte { return tracelog.Enter(table, s) },
		Exit:   func(s sdktrace.ReadOnlySpan) []byte { return tracelog.Exit(table, s) },
		Export: func(spans []sdktrace.ReadOnlySpan) ([]byte, error) { return otlp.JSON(res, spans, "traceroom.open") },
		Read:   m.reading, Latencies: latencyBuckets,
	})
}

// httpMetrics selects of otelhttp's metrics what strangers cannot make new series of: the host that a request names is not a
// label. It leaves out the sizes of bodies, which would be two histograms for every route.
func httpMetrics(i sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	stream := sdkmetric.Stream{Name: i.Name, Description: i.Description, Unit: i.Unit}
	switch i.Name {
	case "http.server.request.body.size", "http.server.response.body.size":
		stream.Aggregation = sdkmetric.AggregationDrop{}
	default:
		stream.AttributeFilter = attribute.NewDenyKeysFilter(semconv.ServerAddressKey, semconv.ServerPortKey)
		stream.ExemplarReservoirProviderSelector = traceExemplars
	}
	return stream, i.Scope.Name == httpScope
}

// traceExemplars chooses exemplars as OpenTelemetry does, but they name their trace and nothing else. The labels that a view takes
// from a series would otherwise become labels of its exemplars, as long as a stranger likes; Prometheus takes 128 characters.
func traceExemplars(agg sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(agg)
	return func(attrs attribute.Set) exemplar.Reservoir { return traceReservoir{provider(attrs)} }
}

type traceReservoir struct{ exemplar.Reservoir }

// Offer implements exemplar.Reservoir.
func (r traceReservoir) Offer(ctx context.Context, t time.Time, v exemplar.Value, _ []attribute.KeyValue) {
	r.Reservoir.Offer(ctx, t, v, nil)
}

// address returns the resource attribute ip, this host's address. Jaeger takes it that spans with the same ip are of the same clock.
// Without it, Jaeger takes the spans of one process for those of two hosts, and warns of each that ends after its parent.
func address() attribute.KeyValue {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, _ := net.InterfaceAddrs() // without any, it is the loopback address
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() && (ip.IsLoopback() || prefix.Addr().Is4() && !ip.Is4()) {
			ip = prefix.Addr()
		}
	}
	return attribute.String("ip", ip.String())
}

// Shutdown ends all telemetry. It exports what has been recorded, until ctx ends.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx))
}

// Counts adds the sizes that counts returns to the metrics. Call it once.
func (t *Telemetry) Counts(counts func() rooms.Counts) { t.metrics.gauges(counts) }

// TraceLinesLost adds how many lines of the trace log a sink has lost to the metrics. Call it once for each sink.
func (t *Telemetry) TraceLinesLost(sink string, lines func() int64) { t.metrics.linesLost(sink, lines) }

// RelayLost notes that the other nodes cannot be reached.
func (t *Telemetry) RelayLost() { t.metrics.connected.Set(0) }

// RelayRegained notes that the other nodes can be reached again.
func (t *Telemetry) RelayRegained() {
	t.metrics.reconnects.Inc()
	t.metrics.connected.Set(1)
}

// RelayFailed notes that an event could not be sent to other nodes, or not be read when it came from one.
func (t *Telemetry) RelayFailed() { t.metrics.relayErrors.Inc() }

// BatchStored notes that a transaction has stored n messages.
func (t *Telemetry) BatchStored(n int) { t.metrics.batch.Observe(float64(n)) }

// Refused notes that a request was refused before it was read, and why.
func (t *Telemetry) Refused(reason string) { t.metrics.refused.WithLabelValues(reason).Inc() }

// Live returns the newest traces.
func (t *Telemetry) Live() *live.Store { return t.live }

// MetricsHandler serves GET /metrics.
func (t *Telemetry) MetricsHandler() http.Handler { return t.metrics.handler() }

// HTTP wraps the handler of ordinary requests, each of which becomes a span. route returns the pattern that a request will match,
// such as "/rooms/{room_id}", which names the span. Requests for which skip returns true are not traced.
func (t *Telemetry) HTTP(next http.Handler, route func(*http.Request) string, skip func(*http.Request) bool) http.Handler {
	handler := otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(span.Bounded(t.traces, maxText)), otelhttp.WithMeterProvider(t.meters), otelhttp.WithPropagators(span.Propagator{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return !skip(r) }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			if !knownMethod(r.Method) {
				return "HTTP" // as the semantic conventions ask
			}
			return r.Method + " " + route(r)
		}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !skip(r) {
			r.Pattern = route(r) // otelhttp takes http.route from it when the span starts
		}
		handler.ServeHTTP(w, r)
	})
}

// knownMethod reports whether the semantic conventions for HTTP know a method: a client may send any.
func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}
