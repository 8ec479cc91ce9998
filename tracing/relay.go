package tracing

import (
	"context"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// tracedRelay is a Relay of which each Publish is a broadcast span, and each event from another node a relay span.
type tracedRelay struct {
	rooms.Relay
	t *Telemetry
}

var _ rooms.Relay = (*tracedRelay)(nil)

// Relay wraps next.
func (t *Telemetry) Relay(next rooms.Relay) rooms.Relay { return &tracedRelay{next, t} }

// Publish gives ev the broadcast span's context, which members and other nodes go on from.
func (r *tracedRelay) Publish(ctx context.Context, ev *rooms.Event) error {
	var attrs [eventAttrs + 1]span.Attr
	ctx, sp := r.t.tracer.Start(ctx, opBroadcast, appendSystem(ctx, appendEvent(attrs[:0], ev), ev.Transport)...)
	ev.Trace = traceContext(ctx, sp)
	err := r.Relay.Publish(ctx, ev)
	sp.Finish(err)
	return err
}

// Subscribe calls handle in the context of a relay span if another node published the event. The span is a child of that node's
// broadcast, the parent of deliver, and ends when the room has the event.
func (r *tracedRelay) Subscribe(ctx context.Context, roomID string, handle func(context.Context, *rooms.Event)) (func(), error) {
	return r.Relay.Subscribe(ctx, roomID, func(ctx context.Context, ev *rooms.Event) {
		if ev.Relayed.IsZero() {
			handle(ctx, ev)
			return
		}
		var attrs [eventAttrs + 1]span.Attr
		ctx, sp := r.t.tracer.Start(extract(ctx, ev.Trace), opRelay, appendSystem(ctx, appendEvent(attrs[:0], ev), ev.Transport)...)
		now := time.Now()
		r.t.metrics.lag.observe(max(0, now.Sub(ev.Relayed).Seconds()), sp.SpanContext(), now)
		handle(ctx, ev)
		sp.Finish(nil)
	})
}
