package tracing

import (
	"context"
	"time"

	"github.com/traceroom/traceroom/rooms"
)

// tracedRelay is a Relay whose publications are broadcast spans, and what arrives from other nodes relay spans.
type tracedRelay struct {
	rooms.Relay
	t *Telemetry
}

var _ rooms.Relay = (*tracedRelay)(nil)

// Relay wraps next.
func (t *Telemetry) Relay(next rooms.Relay) rooms.Relay { return &tracedRelay{next, t} }

// Publish gives ev the broadcast span's context, for members and other nodes to go on from.
func (r *tracedRelay) Publish(ctx context.Context, ev *rooms.Event) error {
	var attrs [eventAttrs + 1]attr
	ctx, span := r.t.tracer.start(ctx, &opBroadcast, appendSystem(ctx, appendEvent(attrs[:0], ev), ev.Transport)...)
	ev.Trace = span.traceContext(ctx)
	err := r.Relay.Publish(ctx, ev)
	span.end(err)
	return err
}

// Subscribe has handle called in the context of a relay span where another node published the event: a child of that
// node's broadcast. It ends when the room has the event; deliver is a child of it.
func (r *tracedRelay) Subscribe(ctx context.Context, roomID string, handle func(context.Context, *rooms.Event)) (func(), error) {
	return r.Relay.Subscribe(ctx, roomID, func(ctx context.Context, ev *rooms.Event) {
		if ev.Relayed.IsZero() {
			handle(ctx, ev)
			return
		}
		var attrs [eventAttrs + 1]attr
		ctx, span := r.t.tracer.start(Extract(ctx, ev.Trace), &opRelay, appendSystem(ctx, appendEvent(attrs[:0], ev), ev.Transport)...)
		now := time.Now()
		r.t.metrics.lag.observe(max(0, now.Sub(ev.Relayed).Seconds()), span.SpanContext(), now)
		handle(ctx, ev)
		span.end(nil)
	})
}
