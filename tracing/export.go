package tracing

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Defaults of the export queue, in spans. A broadcast burst outgrows the SDK's own (2048) within milliseconds.
const (
	exportQueue = 16384
	exportBatch = 2048
	exportDelay = time.Second
)

// exportWanted reports whether the environment asks for traces to be exported. Without it nothing is, so that a machine
// without a collector sees no errors.
func exportWanted(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range []string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	} {
		if getenv(name) != "" {
			return getenv("OTEL_TRACES_EXPORTER") != "none"
		}
	}
	return false
}

// exporting is the span processor that hands sampled spans to a BatchSpanProcessor, which drops what does not fit into
// its queue without a word; therefore never more are handed on than fit, and what is not is counted.
type exporting struct {
	batch   sdktrace.SpanProcessor
	limit   int64
	waiting atomic.Int64
	dropped prometheus.Counter
}

var _ sdktrace.SpanProcessor = (*exporting)(nil)

func newExporting(ctx context.Context, dropped prometheus.Counter) (*exporting, error) {
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		// The library's errors name no variable.
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER (%q) or OTEL_EXPORTER_OTLP_PROTOCOL (%q) cannot be used: %w",
			os.Getenv("OTEL_TRACES_EXPORTER"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), err)
	}
	p := &exporting{limit: exportQueue, dropped: dropped}
	opts := []sdktrace.BatchSpanProcessorOption{}
	if n, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		p.limit = int64(n)
	} else {
		opts = append(opts, sdktrace.WithMaxQueueSize(exportQueue))
	}
	if os.Getenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") == "" {
		opts = append(opts, sdktrace.WithMaxExportBatchSize(int(min(exportBatch, p.limit))))
	}
	if os.Getenv("OTEL_BSP_SCHEDULE_DELAY") == "" {
		opts = append(opts, sdktrace.WithBatchTimeout(exportDelay))
	}
	p.batch = sdktrace.NewBatchSpanProcessor(&countingExporter{exporter, p}, opts...)
	return p, nil
}

func (p *exporting) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

func (p *exporting) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if p.waiting.Add(1) > p.limit {
		p.waiting.Add(-1)
		p.dropped.Inc()
		return
	}
	p.batch.OnEnd(s)
}

func (p *exporting) Shutdown(ctx context.Context) error   { return p.batch.Shutdown(ctx) }
func (p *exporting) ForceFlush(ctx context.Context) error { return p.batch.ForceFlush(ctx) }

// countingExporter tells exporting what has left its queue.
type countingExporter struct {
	sdktrace.SpanExporter
	p *exporting
}

func (e *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.p.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.p.dropped.Add(float64(len(spans)))
	}
	return err
}
