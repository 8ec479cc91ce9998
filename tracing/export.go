package tracing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// newExport returns the span processor that exports as the environment asks for, and nil if it does not: a machine
// without a collector sees no errors.
func newExport(ctx context.Context, getenv func(string) string, res *resource.Resource, dropped prometheus.Counter) (sdktrace.SpanProcessor, error) {
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
	limits := exportLimits{queue: 16384, batch: 2048, bytes: maxExport, delay: time.Second, timeout: 30 * time.Second}
	if err := limits.read(getenv); err != nil {
		return nil, err
	}
	return newOTLPExport(ctx, client, res, limits, dropped)
}

// exportLimits are the OTEL_BSP_* variables. Their defaults here allow for a burst of broadcasts, which outgrows the
// SDK's queue of 2048 spans within milliseconds.
type exportLimits struct {
	queue, batch   int // spans
	bytes          int // that spans may take while they wait, to be sent and while they are
	delay, timeout time.Duration
}

// Bounds of what waits to be exported, whatever spans hold.
const (
	maxExport   = 16 << 20 // bytes
	maxBatch    = 3 << 20  // bytes of one batch: receivers by gRPC take messages of up to 4 MiB
	maxSpareCap = 2 << 20  // bytes of memory that is kept for the next batch
)

func (l *exportLimits) read(getenv func(string) string) error {
	for name, set := range map[string]func(n int){
		"OTEL_BSP_MAX_QUEUE_SIZE":        func(n int) { l.queue = n },
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": func(n int) { l.batch = n },
		"OTEL_BSP_SCHEDULE_DELAY":        func(n int) { l.delay = time.Duration(n) * time.Millisecond },
		"OTEL_BSP_EXPORT_TIMEOUT":        func(n int) { l.timeout = time.Duration(n) * time.Millisecond },
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
	l.batch = min(l.batch, l.queue)
	return nil
}

// otlpExport is the span processor that exports sampled spans by OTLP. A span is written in OTLP's wire format when it
// ends: building protobuf structures from it and marshalling these by reflection was the largest part of what tracing
// cost. Sending, with its configuration by OTEL_EXPORTER_OTLP_* and its retries, is OpenTelemetry's own client's.
//
// mu guards filling, ready, spare, waiting, bytes and closed; it is locked before a span's own lock. One goroutine, started by
// newOTLPExport and ended by Shutdown, sends.
type otlpExport struct {
	client   otlptrace.Client
	resource []byte
	limits   exportLimits
	dropped  prometheus.Counter
	send     chan chan struct{}
	stop     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	filling *spanBatch
	ready   []*spanBatch
	spare   []scopeSpans // memory of a batch that has been sent
	waiting int          // spans in filling, ready, and being sent
	bytes   int          // that they take
	closed  bool
}

// spanBatch is encoded spans by their scope: there are two or three.
type spanBatch struct {
	scopes   []scopeSpans
	n, bytes int // spans, and what they take
}

// scopeSpans is a ResourceSpans message with the spans of one scope.
type scopeSpans struct {
	scope   instrumentation.Scope
	message []byte
	begin   int // of the ScopeSpans' content in message
	empty   int // length of message without spans
}

var _ sdktrace.SpanProcessor = (*otlpExport)(nil)

func newOTLPExport(ctx context.Context, client otlptrace.Client, res *resource.Resource, limits exportLimits, dropped prometheus.Counter) (*otlpExport, error) {
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	e := &otlpExport{
		client: client, resource: appendResource(nil, res), limits: limits, dropped: dropped,
		send: make(chan chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), filling: &spanBatch{},
	}
	go e.run()
	return e, nil
}

// OnStart implements sdktrace.SpanProcessor.
func (*otlpExport) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor. It never waits: what does not fit is dropped and counted.
func (e *otlpExport) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if place := e.place(s.InstrumentationScope()); place != nil {
		before := len(place.message)
		place.message = appendSpan(place.message, s)
		e.placed(place, before)
	}
}

// began implements observer.
func (*otlpExport) began(context.Context, *span) {}

// ended implements observer.
func (e *otlpExport) ended(s *span) {
	if !s.flags.IsSampled() {
		return
	}
	if place := e.place(s.tracer.scope); place != nil {
		before := len(place.message)
		place.message = appendOperation(place.message, s)
		e.placed(place, before)
	}
}

// place returns where a span of this scope is to be appended, with mu locked, or nil if there is no place left for it.
// placed must follow.
func (e *otlpExport) place(scope instrumentation.Scope) *scopeSpans {
	e.mu.Lock()
	if e.closed || e.waiting >= e.limits.queue {
		e.mu.Unlock()
		e.dropped.Inc()
		return nil
	}
	return e.filling.of(scope, e.resource)
}

// placed counts a span that has been appended behind the bytes that were there before, and unlocks mu. One that is too many
// bytes is taken away again.
func (e *otlpExport) placed(place *scopeSpans, before int) {
	size := len(place.message) - before
	if e.bytes+size > e.limits.bytes {
		place.message = place.message[:before]
		e.mu.Unlock()
		e.dropped.Inc()
		return
	}
	e.filling.n++
	e.filling.bytes += size
	e.waiting++
	e.bytes += size
	full := e.filling.n >= e.limits.batch || e.filling.bytes >= maxBatch
	if full {
		e.ready = append(e.ready, e.filling)
		e.filling = e.empty()
	}
	e.mu.Unlock()
	if full {
		select {
		case e.send <- nil:
		default: // it has been told
		}
	}
}

// empty returns a batch to fill, in the memory of one that has been sent if there is any. mu is held.
func (e *otlpExport) empty() *spanBatch {
	b := &spanBatch{scopes: e.spare}
	e.spare = nil
	return b
}

// of is the place of a scope's spans.
func (b *spanBatch) of(scope instrumentation.Scope, resource []byte) *scopeSpans {
	for i := range b.scopes {
		if b.scopes[i].scope.Name == scope.Name {
			return &b.scopes[i]
		}
	}
	message, begin := beginScopeSpans(append(make([]byte, 0, 64<<10), resource...), scope)
	b.scopes = append(b.scopes, scopeSpans{scope, message, begin, len(message)})
	return &b.scopes[len(b.scopes)-1]
}

// run sends what is ready, and once every delay what there is.
func (e *otlpExport) run() {
	defer close(e.done)
	tick := time.NewTicker(e.limits.delay)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.upload(true)
		case flushed := <-e.send:
			e.upload(flushed != nil)
			if flushed != nil {
				close(flushed)
			}
		case <-e.stop:
			return
		}
	}
}

// upload sends the batches that are ready, and the one that is being filled if all is true.
func (e *otlpExport) upload(all bool) {
	e.mu.Lock()
	batches := e.ready
	e.ready = nil
	if all && e.filling.n > 0 {
		batches = append(batches, e.filling)
		e.filling = e.empty()
	}
	e.mu.Unlock()
	for _, b := range batches {
		var messages []*tracepb.ResourceSpans
		for _, s := range b.scopes {
			if len(s.message) == s.empty {
				continue
			}
			s.message = endMessage(s.message, s.begin, long)
			// Fields that protobuf does not know are written as they are: here they are all of the message.
			message := &tracepb.ResourceSpans{}
			message.ProtoReflect().SetUnknown(s.message)
			messages = append(messages, message)
		}
		ctx, cancel := context.WithTimeout(context.Background(), e.limits.timeout)
		err := e.client.UploadTraces(ctx, messages)
		cancel()
		if err != nil {
			e.dropped.Add(float64(b.n))
			otel.Handle(fmt.Errorf("exporting %d spans: %w", b.n, err))
		}
		spare := b.scopes
		for i := range spare {
			spare[i].message = spare[i].message[:spare[i].empty]
			if cap(spare[i].message) > maxSpareCap {
				spare = nil
				break
			}
		}
		e.mu.Lock()
		e.waiting -= b.n
		e.bytes -= b.bytes
		e.spare = spare
		e.mu.Unlock()
	}
}

// ForceFlush sends what has ended so far.
func (e *otlpExport) ForceFlush(ctx context.Context) error {
	flushed := make(chan struct{})
	select {
	case e.send <- flushed:
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-flushed:
		return nil
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shutdown sends what has ended so far, and takes no more.
func (e *otlpExport) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	if closed {
		return nil
	}
	err := e.ForceFlush(ctx)
	close(e.stop)
	// Stopping the client ends an upload that is still under way.
	err = errors.Join(err, e.client.Stop(ctx))
	<-e.done
	return err
}
