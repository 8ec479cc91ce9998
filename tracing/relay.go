package tracing

import (
	"context"

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
