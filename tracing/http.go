package tracing

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/traceroom/traceroom/tracing/span"
)

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
