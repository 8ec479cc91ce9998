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
	c := connectionOf(ctx)
	if c == nil {
		c = &noConnection
	}
	all := make([]attribute.KeyValue, 0, len(op.attrs)+len(c.attrs)+len(attrs))
	all = append(append(append(all, attrs...), op.attrs...), c.attrs...)
	if op.linked && c.link != nil {
		return t.tracer.Start(ctx, op.span, op.kindOption, trace.WithAttributes(all...), c.link)
	}
	return t.tracer.Start(ctx, op.span, op.kindOption, trace.WithAttributes(all...))
}

// noConnection stands for the connection of what no connection asked for.
var noConnection connection

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
