package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
)

// start starts op's span with the attributes of op, of ctx's connection and of this call. Its parent is ctx's span, if
// there is one.
func (t *Telemetry) start(ctx context.Context, op *operation, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	opts := make([]trace.SpanStartOption, 0, 5)
	opts = append(opts, trace.WithSpanKind(op.kind), trace.WithAttributes(attrs...))
	if len(op.attrs) > 0 {
		opts = append(opts, trace.WithAttributes(op.attrs...))
	}
	if c := connectionOf(ctx); c != nil {
		opts = append(opts, trace.WithAttributes(c.attrs...))
		if op.linked && c.link.SpanContext.IsValid() {
			opts = append(opts, trace.WithLinks(c.link))
		}
	}
	return t.tracer.Start(ctx, op.span, opts...)
}

// end ends span, as failed if err is not nil.
func end(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		span.SetAttributes(semconv.ErrorTypeKey.String(string(rooms.AsError(err).Code)))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// fault logs what a client is told no more of than that the server could not do it.
func (t *Telemetry) fault(span trace.Span, err error) {
	if err == nil {
		return
	}
	if e := rooms.AsError(err); e.Code == rooms.CodeUnavailable && e.Cause != nil {
		t.log.Error(e.Detail, zap.Error(e.Cause), zap.Stringer("trace_id", span.SpanContext().TraceID()))
	}
}
