package tracing

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// propagator reads and writes W3C trace context (https://www.w3.org/TR/trace-context/).
var propagator = boundedPropagator{}

// maxState is how many bytes of a tracestate are taken: as many as W3C has everyone pass on.
const maxState = 512

// boundedPropagator is propagation.TraceContext that takes no more than maxState bytes of a tracestate.
type boundedPropagator struct{ propagation.TraceContext }

// Extract implements propagation.TextMapPropagator.
func (p boundedPropagator) Extract(ctx context.Context, from propagation.TextMapCarrier) context.Context {
	return p.TraceContext.Extract(ctx, boundedState{from})
}

// boundedState is a carrier whose tracestate is bounded.
type boundedState struct{ propagation.TextMapCarrier }

// Get implements propagation.TextMapCarrier.
func (c boundedState) Get(name string) string {
	value := c.TextMapCarrier.Get(name)
	if name == "tracestate" && value != "" {
		return cutState(value)
	}
	return value
}

// cutState is state without the members at its end that do not fit into maxState bytes. It is a copy: what is left of a
// query does not keep all of it in memory.
func cutState(state string) string {
	if len(state) > maxState {
		end := strings.LastIndexByte(state[:maxState+1], ',')
		state = state[:max(end, 0)]
	}
	return strings.Clone(state)
}

// carrier is a TraceContext as propagator wants it.
type carrier rooms.TraceContext

func (c *carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.Parent
	case "tracestate":
		return c.State
	}
	return ""
}

func (c *carrier) Set(key, value string) {
	switch key {
	case "traceparent":
		c.Parent = value
	case "tracestate":
		c.State = value
	}
}

func (c *carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// Extract returns ctx with the trace context that came in a client's message as the parent of what follows. What is not
// valid is as if it were not there.
func Extract(ctx context.Context, tc rooms.TraceContext) context.Context {
	if tc.Parent == "" {
		return ctx
	}
	return propagator.Extract(ctx, (*carrier)(&tc))
}

// Inject returns the context of ctx's span in textual form, and an empty one if there is no span.
func Inject(ctx context.Context) rooms.TraceContext {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return rooms.TraceContext{}
	}
	return traceContext(sc.TraceID(), sc.SpanID(), sc.TraceFlags(), sc.TraceState())
}

func traceContext(id trace.TraceID, span trace.SpanID, flags trace.TraceFlags, state trace.TraceState) rooms.TraceContext {
	b := make([]byte, 0, 64)
	b = append(b, "00-"...)
	b = append(hex.AppendEncode(b, id[:]), '-')
	b = append(hex.AppendEncode(b, span[:]), "-00"...)
	if flags.IsSampled() {
		b[len(b)-1] = '1'
	}
	return rooms.TraceContext{Parent: string(b), State: state.String()}
}

// Detach returns a context for what a connection does after the request that opened it: it says which connection it is,
// has no span, is never cancelled, and holds nothing of the request.
func Detach(ctx context.Context) context.Context {
	if c := connectionOf(ctx); c != nil {
		return context.WithValue(context.Background(), connectionKey{}, c)
	}
	return context.Background()
}

// TraceID returns the id of ctx's trace, as it is written, or an empty string.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
