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
	var attrs [eventAttrs]attr
	ctx, span := r.t.tracer.start(ctx, &opBroadcast, appendEvent(attrs[:0], ev)...)
	ev.Trace = span.traceContext(ctx)
	err := r.Relay.Publish(ctx, ev)
	span.end(err)
	return err
}
