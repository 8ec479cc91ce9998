package otlp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/traceroom/traceroom/tracing/span"
)

// maxBatch bounds the bytes of one request: receivers by gRPC take messages of up to 4 MiB.
const maxBatch = 3 << 20

// Exporter exports sampled spans. Its methods may be called from any goroutine; none but ForceFlush and Shutdown waits for anything
// but mu.
//
// mu guards what follows it; it is locked before a span's own lock. One goroutine, started by New and ended by Shutdown, sends.
type Exporter struct {
	client   otlptrace.Client
	resource []byte
	limits   Limits
	dropped  func(spans int)
	send     chan chan struct{} // capacity 1: that a batch is ready (nil), or who waits for everything to be sent
	stop     chan struct{}
	done     chan struct{}

	mu      sync.Mutex
	filling *batch
	ready   []*batch
	spare   []scopeSpans // see reuse
	forms   map[form]wireForm
	waiting int // spans in filling, ready, and being sent
	bytes   int // that they take
	closed  bool
}

// batch is encoded spans by their scope: there are two or three.
type batch struct {
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

var (
	_ span.Observer          = (*Exporter)(nil)
	_ sdktrace.SpanProcessor = (*Exporter)(nil)
)

// New returns an Exporter that sends through client what is of res, after starting client. dropped is called with the number
// of sampled spans that did not fit into limits or could not be sent. Shutdown must be called.
func New(ctx context.Context, client otlptrace.Client, res *resource.Resource, limits Limits, dropped func(spans int)) (*Exporter, error) {
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	e := &Exporter{
		client: client, resource: appendResource(nil, res), limits: limits, dropped: dropped, forms: make(map[form]wireForm),
		send: make(chan chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), filling: &batch{},
	}
	go e.run()
	return e, nil
}

// Began implements span.Observer.
func (*Exporter) Began(context.Context, *span.Span) {}

// Ended implements span.Observer. It never waits: what does not fit is dropped and counted.
func (e *Exporter) Ended(s *span.Span) {
	if !s.TraceFlags().IsSampled() {
		return
	}
	if place := e.place(s.InstrumentationScope()); place != nil {
		before := len(place.message)
		place.message = e.appendOperation(place.message, s)
		e.placed(place, before)
	}
}

// OnStart implements sdktrace.SpanProcessor.
func (*Exporter) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor, for the spans of libraries. It never waits, as Ended.
func (e *Exporter) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if place := e.place(s.InstrumentationScope()); place != nil {
		before := len(place.message)
		place.message = appendSpan(place.message, s)
		e.placed(place, before)
	}
}

// place locks mu and returns where a span of this scope is to be appended; placed must be called then. It returns nil, with mu
// unlocked, if the span does not fit.
func (e *Exporter) place(scope instrumentation.Scope) *scopeSpans {
	e.mu.Lock()
	if e.closed || e.waiting >= e.limits.Queue {
		e.mu.Unlock()
		e.dropped(1)
		return nil
	}
	return e.filling.of(scope, e.resource)
}

// placed counts the span that has been appended to what had the length before, and unlocks mu. If the span takes too many
// bytes, it is dropped again.
func (e *Exporter) placed(place *scopeSpans, before int) {
	size := len(place.message) - before
	if e.bytes+size > e.limits.Bytes {
		place.message = place.message[:before]
		e.mu.Unlock()
		e.dropped(1)
		return
	}
	e.filling.n++
	e.filling.bytes += size
	e.waiting++
	e.bytes += size
	full := e.filling.n >= e.limits.Batch || e.filling.bytes >= maxBatch
	if full {
		e.ready = append(e.ready, e.filling)
		e.filling = e.empty()
	}
	e.mu.Unlock()
	if full {
		select {
		case e.send <- nil:
		default: // the goroutine has something to do already
		}
	}
}

// of returns where the spans of a scope are.
func (b *batch) of(scope instrumentation.Scope, resource []byte) *scopeSpans {
	for i := range b.scopes {
		if b.scopes[i].scope.Name == scope.Name {
			return &b.scopes[i]
		}
	}
	message, begin := beginScopeSpans(append(make([]byte, 0, 64<<10), resource...), scope)
	b.scopes = append(b.scopes, scopeSpans{scope, message, begin, len(message)})
	return &b.scopes[len(b.scopes)-1]
}

// run sends batches that are ready, and every Delay whatever there is.
func (e *Exporter) run() {
	defer close(e.done)
	tick := time.NewTicker(e.limits.Delay)
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

// upload sends the batches that are ready, and also that which is being filled if all is true.
func (e *Exporter) upload(all bool) {
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
			// protobuf writes fields that it does not know as they are; here, the whole message is such fields.
			message := &tracepb.ResourceSpans{}
			message.ProtoReflect().SetUnknown(s.message)
			messages = append(messages, message)
		}
		ctx, cancel := context.WithTimeout(context.Background(), e.limits.Timeout)
		err := e.client.UploadTraces(ctx, messages)
		cancel()
		if err != nil {
			e.dropped(b.n)
			otel.Handle(fmt.Errorf("exporting %d spans: %w", b.n, err))
		}
		e.mu.Lock()
		e.waiting -= b.n
		e.bytes -= b.bytes
		e.reuse(b)
		e.mu.Unlock()
	}
}

// ForceFlush implements sdktrace.SpanProcessor: it sends what has ended so far.
func (e *Exporter) ForceFlush(ctx context.Context) error {
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

// Shutdown implements sdktrace.SpanProcessor: it sends what has ended so far, and takes no more spans.
func (e *Exporter) Shutdown(ctx context.Context) error {
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
