package span

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// maxState is how many bytes of a tracestate are taken: as many as W3C asks everyone to pass on.
const maxState = 512

// Propagator reads and writes W3C trace context (https://www.w3.org/TR/trace-context/). It is propagation.TraceContext, but
// takes at most 512 bytes of a tracestate.
type Propagator struct{ propagation.TraceContext }

// Extract implements propagation.TextMapPropagator.
func (p Propagator) Extract(ctx context.Context, from propagation.TextMapCarrier) context.Context {
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

// cutState returns state without the members at its end that do not fit into maxState bytes. It is a copy, so that the memory
// of a query of which it is a part can be freed.
func cutState(state string) string {
	if len(state) > maxState {
		end := strings.LastIndexByte(state[:maxState+1], ',')
		state = state[:max(end, 0)]
	}
	return strings.Clone(state)
}

// carrier is a trace context that is being read.
type carrier struct{ parent, state string }

func (c *carrier) Get(key string) string {
	switch key {
	case "traceparent":
		return c.parent
	case "tracestate":
		return c.state
	}
	return ""
}

func (*carrier) Set(string, string) {}

func (*carrier) Keys() []string { return []string{"traceparent", "tracestate"} }

// Extract returns ctx with the span that traceparent and tracestate name as the parent of what follows. If they are not
// valid, it returns ctx.
func Extract(ctx context.Context, traceparent, tracestate string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return Propagator{}.Extract(ctx, &carrier{traceparent, tracestate})
}

// Inject returns ctx's span as traceparent and tracestate, which are empty if there is none.
func Inject(ctx context.Context) (traceparent, tracestate string) {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return "", ""
	}
	return format(sc.TraceID(), sc.SpanID(), sc.TraceFlags(), sc.TraceState())
}

// Propagate is Inject for the span itself. A nil Span passes on the trace context of ctx.
func (s *Span) Propagate(ctx context.Context) (traceparent, tracestate string) {
	if s == nil {
		return Inject(ctx)
	}
	return format(s.trace, s.id, s.flags, s.traceState())
}

func format(id trace.TraceID, span trace.SpanID, flags trace.TraceFlags, state trace.TraceState) (traceparent, tracestate string) {
	b := make([]byte, 0, 64)
	b = append(b, "00-"...)
	b = append(hex.AppendEncode(b, id[:]), '-')
	b = append(hex.AppendEncode(b, span[:]), "-00"...)
	if flags.IsSampled() {
		b[len(b)-1] = '1'
	}
	return string(b), state.String()
}

// TraceID returns the id of ctx's trace in hexadecimal, or an empty string.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}
