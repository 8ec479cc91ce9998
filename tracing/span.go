package tracing

import (
	"fmt"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
)

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

// typeName is the type of err as the semantic conventions have it in exception.type.
func typeName(err error) string { return fmt.Sprintf("%T", err) }
