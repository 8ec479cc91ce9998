// Package otlp is a span.Observer that exports spans by OTLP. It exports the spans of libraries as well, as an
// sdktrace.SpanProcessor.
//
// A span is written in OTLP's wire format when it ends: building protobuf structures from it and marshalling these by
// reflection was the largest part of what tracing cost. Sending, with its configuration by OTEL_EXPORTER_OTLP_* and its
// retries, is OpenTelemetry's own client's. The package imports nothing of this module but span.
package otlp
