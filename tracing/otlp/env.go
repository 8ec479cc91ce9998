package otlp

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// FromEnv returns the span processor that exports as the OTEL_* variables ask for, an *Exporter for OTLP, or nil if they do not
// ask: a machine without a collector then sees no errors. dropped is called with the number of sampled spans that could
// not be exported. An error names the variable that cannot be used.
func FromEnv(ctx context.Context, getenv func(string) string, res *resource.Resource, dropped func(spans int)) (sdktrace.SpanProcessor, error) {
	kind := getenv("OTEL_TRACES_EXPORTER")
	if kind == "" && getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	if kind == "none" || strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	if kind != "" && kind != "otlp" {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q cannot be used; it takes otlp, console or none: %w", kind, err)
		}
		return sdktrace.NewBatchSpanProcessor(exporter), nil
	}
	protocol := getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	var client otlptrace.Client
	switch protocol {
	case "", "http/protobuf":
		client = otlptracehttp.NewClient()
	case "grpc":
		client = otlptracegrpc.NewClient()
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is neither http/protobuf nor grpc", protocol)
	}
	limits := DefaultLimits
	if err := limits.read(getenv); err != nil {
		return nil, err
	}
	return New(ctx, client, res, limits, dropped)
}

// Limits bound what an Exporter holds and how long it waits.
type Limits struct {
	Queue   int           // spans that wait to be sent or are being sent
	Batch   int           // spans of one request
	Bytes   int           // that the spans of Queue take
	Delay   time.Duration // the longest that a span waits to be sent
	Timeout time.Duration // of one request
}

// DefaultLimits are the limits unless the OTEL_BSP_* variables say otherwise. They allow for a burst of broadcasts, which
// would outgrow the SDK's queue of 2048 spans within milliseconds.
var DefaultLimits = Limits{Queue: 16384, Batch: 2048, Bytes: 16 << 20, Delay: time.Second, Timeout: 30 * time.Second}

// read reads the OTEL_BSP_* variables.
func (l *Limits) read(getenv func(string) string) error {
	for name, set := range map[string]func(n int){
		"OTEL_BSP_MAX_QUEUE_SIZE":        func(n int) { l.Queue = n },
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": func(n int) { l.Batch = n },
		"OTEL_BSP_SCHEDULE_DELAY":        func(n int) { l.Delay = time.Duration(n) * time.Millisecond },
		"OTEL_BSP_EXPORT_TIMEOUT":        func(n int) { l.Timeout = time.Duration(n) * time.Millisecond },
	} {
		value := getenv(name)
		if value == "" {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return fmt.Errorf("%s: %q is not a number from 1", name, value)
		}
		set(n)
	}
	l.Batch = min(l.Batch, l.Queue)
	return nil
}
