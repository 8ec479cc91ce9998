package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// Hooks reports deliveries: a span for each event and node, which ends when the last member's write has returned.
func (t *Telemetry) Hooks() rooms.Hooks {
	return rooms.Hooks{
		Delivering:  t.delivering,
		RelayFailed: func(context.Context, error) { t.metrics.relayErrors.Inc() },
		CaughtUp: func(_ string, n int) {
			t.metrics.catchUps.Inc()
			t.metrics.caughtUp.Add(float64(n))
		},
	}
}

func (t *Telemetry) delivering(ctx context.Context, ev *rooms.Event, recipients int) func(rooms.Delivered) {
	if ev.Transport == "" && ev.Trace.Parent != "" {
		// Read from the store: the message's own trace, not the trace or the connection of whoever made the room look.
		ctx = Extract(context.Background(), ev.Trace)
	}
	var attrs [eventAttrs + 1]attr
	span := t.tracer.startAt(ctx, time.Now(), &opDeliver, append(appendEvent(attrs[:0], ev), keyRecipients.int(recipients))...)
	return func(d rooms.Delivered) {
		t.metrics.delivered(ev, d, span.SpanContext())
		span.delivered(d)
	}
}

// delivered ends the span of a delivery with its outcome.
func (s *span) delivered(d rooms.Delivered) {
	if s == nil {
		return
	}
	written, dropped := 0, 0
	var end time.Time // when the last write had returned
	for _, by := range d.ByTransport {
		written += by.Written
		dropped += by.Refused + by.Lost
		if by.Last.After(end) {
			end = by.Last
		}
	}
	if end.IsZero() {
		end = time.Now() // there was nobody to write to
	}
	for _, n := range d.Notes {
		name := "slow"
		if n.Dropped {
			name = "dropped"
		}
		s.AddEvent(name, trace.WithTimestamp(n.At), trace.WithAttributes(keyConnection.name.String(n.ConnID)))
	}
	if d.Slowest == "" {
		s.endAt(end, nil, keyWritten.int(written), keyDropped.int(dropped))
	} else {
		s.endAt(end, nil, keyWritten.int(written), keyDropped.int(dropped), keySlowest.text(d.Slowest))
	}
}

// appendSystem appends the messaging.system of what came by this transport, unless ctx has a connection, which has it.
func appendSystem(ctx context.Context, attrs []attr, transport string) []attr {
	if connectionOf(ctx) != nil {
		return attrs
	}
	if transport == "" { // nothing brought it: a node is no more, and with it its clients
		transport = "traceroom"
	}
	return append(attrs, keySystem.text(transport))
}

// eventAttrs is the most attributes that appendEvent appends.
const eventAttrs = 6

// appendEvent appends the attributes that broadcast, relay and deliver have of their event.
func appendEvent(attrs []attr, ev *rooms.Event) []attr {
	attrs = append(attrs, keyRoom.text(ev.RoomID), keyEvent.text(ev.Kind.String()))
	if ev.ClientID != "" {
		attrs = append(attrs, keyClient.text(ev.ClientID))
	}
	if m := ev.Message; m != nil {
		attrs = append(attrs, keyMessage.text(m.ID), keySize.int(len(m.Text)), keySeq.int64(m.Seq))
	}
	return attrs
}
