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
)

// Names under which spans are made: ours, and otelhttp's for HTTP requests.
const (
	scope     = "github.com/traceroom/traceroom/tracing"
	httpScope = otelhttp.ScopeName
)

// Config is what Telemetry is made of.
type Config struct {
	ServiceName string // unless OTEL_SERVICE_NAME says otherwise
	Version     string
	// TraceLog takes the trace log's lines; nil: there is no trace log. Whoever made it flushes it after Shutdown.
	TraceLog zapcore.WriteSyncer
	// TraceText puts messages' text into the trace log.
	TraceText bool
	// LiveTraces is how many of the newest traces of messages are kept in memory to be looked at; half as many are kept
	// of those of connections, and of all others. 0: none.
	LiveTraces int
	// Log is the program's own log, for what goes wrong in exporting.
	Log *zap.Logger
	// Getenv reads the OTEL_* variables that are not read by the OpenTelemetry libraries themselves.
	Getenv func(string) string
}

// Telemetry is all that observes one server. Its methods may be called from any goroutine.
type Telemetry struct {
	tracer   *tracer
	traces   *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	metrics  *metrics
	live     *live
	log      *zap.Logger
	withText bool
	sql      bool // what the store sends is traced
}

// New sets OpenTelemetry up. It changes one thing of the process: OpenTelemetry's error handler. An error names the
// environment variable that cannot be used.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	// An incomplete resource is usable; what is missing is no reason not to serve.
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
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { cfg.Log.Warn("telemetry", zap.Error(err)) }))

	t := &Telemetry{metrics: newMetrics(), log: cfg.Log, withText: cfg.TraceText && cfg.TraceLog != nil}
	sampler, never, err := samplerFromEnv(cfg.Getenv)
	if err != nil {
		return nil, err
	}
	byParent := sampler.Description() == sdktrace.ParentBased(sdktrace.AlwaysSample()).Description()
	if !never || cfg.TraceLog != nil {
		// Sampling thins what is exported, never the log or the metrics.
		sampler = sdktrace.AlwaysRecord(sampler)
	}
	var processors []sdktrace.SpanProcessor
	if cfg.TraceLog != nil {
		processors = append(processors, &traceLog{out: cfg.TraceLog})
	}
	processors = append(processors, operationTimes{t.metrics})
	notice := ""
	switch {
	case cfg.LiveTraces <= 0:
		notice = "Live traces are turned off."
	case never && cfg.TraceLog == nil:
		notice = "Nothing is recorded: OTEL_TRACES_SAMPLER is always_off and there is no trace log."
	}
	t.live = newLive(cfg.LiveTraces, t.metrics, res, notice)
	if notice == "" {
		processors = append(processors, t.live)
	}
	export, err := newExport(ctx, cfg.Getenv, res, t.metrics.spansDropped)
	if err != nil {
		return nil, err
	}
	if export != nil {
		processors = append(processors, export)
	}
	// The provider is for the spans that libraries make, and ends the processors.
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler)}
	for _, p := range processors {
		opts = append(opts, sdktrace.WithSpanProcessor(p))
	}
	t.traces = sdktrace.NewTracerProvider(opts...)
	t.tracer = &tracer{
		provider: t.traces, sampler: sampler, byParent: byParent, resource: res, scope: instrumentation.Scope{Name: scope, Version: cfg.Version, SchemaURL: semconv.SchemaURL},
		off: never && cfg.TraceLog == nil,
	}
	t.tracer.observe(processors...)

	reader, err := otelprom.New(otelprom.WithRegisterer(t.metrics.registry), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res), sdkmetric.WithView(httpMetrics))
	return t, nil
}

// httpMetrics makes of otelhttp's instruments what strangers cannot make series of: the host that a request names is no
// label, and the sizes of bodies, of which each would have a histogram for every route, are left out.
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

// traceExemplars is OpenTelemetry's choice of exemplars, which name their trace and nothing else: the labels that a view takes
// from a series would otherwise be labels of its exemplars, as long as a stranger likes. Prometheus takes 128 characters.
func traceExemplars(agg sdkmetric.Aggregation) exemplar.ReservoirProvider {
	provider := sdkmetric.DefaultExemplarReservoirProviderSelector(agg)
	return func(attrs attribute.Set) exemplar.Reservoir { return traceReservoir{provider(attrs)} }
}

type traceReservoir struct{ exemplar.Reservoir }

// Offer implements exemplar.Reservoir.
func (r traceReservoir) Offer(ctx context.Context, t time.Time, v exemplar.Value, _ []attribute.KeyValue) {
	r.Reservoir.Offer(ctx, t, v, nil)
}

// address is the resource attribute ip, this host's address. Jaeger takes spans whose resources have the same for spans of
// one clock; without it, Jaeger takes the spans of one process for those of two hosts, and notes a warning where one ends after its parent.
func address() attribute.KeyValue {
	ip := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	addrs, _ := net.InterfaceAddrs() // without them it is the loopback address
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() && (ip.IsLoopback() || prefix.Addr().Is4() && !ip.Is4()) {
			ip = prefix.Addr()
		}
	}
	return attribute.String("ip", ip.String())
}

// Shutdown ends all telemetry: what is recorded is exported, within ctx.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx))
}

// Counts has the sizes that counts reports among the metrics. Call it once.
func (t *Telemetry) Counts(counts func() rooms.Counts) { t.metrics.gauges(counts) }

// TraceLinesLost has the lines of the trace log that this sink has lost among the metrics. Call it once for each sink.
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

// Refused notes that a request was refused before it was looked at, and why.
func (t *Telemetry) Refused(reason string) { t.metrics.refused.WithLabelValues(reason).Inc() }

// MetricsHandler serves GET /metrics.
func (t *Telemetry) MetricsHandler() http.Handler { return t.metrics.handler() }

// HTTP wraps the handler of ordinary requests. route gives the pattern that a request will match, such as
// "/rooms/{room_id}": it names the span from the start. Requests for which skip is true are left alone.
func (t *Telemetry) HTTP(next http.Handler, route func(*http.Request) string, skip func(*http.Request) bool) http.Handler {
	handler := otelhttp.NewHandler(next, "http",
		otelhttp.WithTracerProvider(boundedProvider{t.traces}), otelhttp.WithMeterProvider(t.meters), otelhttp.WithPropagators(propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return !skip(r) }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			if !knownMethod(r.Method) {
				return "HTTP" // as the semantic conventions have it
			}
			return r.Method + " " + route(r)
		}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !skip(r) {
			r.Pattern = route(r) // from which otelhttp takes the span's http.route, at its start
		}
		handler.ServeHTTP(w, r)
	})
}

// knownMethod reports whether a method is one that the semantic conventions for HTTP know: clients may make others up.
func knownMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}
