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
	if r.t.tracer.off {
		ev.Trace = Inject(ctx)
		return r.Relay.Publish(ctx, ev)
	}
	ctx, span := r.t.tracer.start(ctx, &opBroadcast, eventAttrs(ev)...)
	ev.Trace = inject(span.SpanContext())
	err := r.Relay.Publish(ctx, ev)
	end(span, err)
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
		ctx, span := r.t.tracer.start(Extract(ctx, ev.Trace), &opRelay, eventAttrs(ev)...)
		now := time.Now()
		r.t.metrics.lag.observe(max(0, now.Sub(ev.Relayed).Seconds()), span.SpanContext(), now)
		handle(ctx, ev)
		span.End()
	})
}
