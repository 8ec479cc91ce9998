package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// Hooks returns hooks that make a span of each event's delivery on this node, which ends when the last member's write has returned.
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
		// It was read from the store: it is part of the message's own trace, not of that in which the room looked.
		ctx = extract(context.Background(), ev.Trace)
	}
	var attrs [eventAttrs + 1]span.Attr
	sp := t.tracer.StartAt(ctx, time.Now(), opDeliver, append(appendEvent(attrs[:0], ev), keyRecipients.Int(recipients))...)
	return func(d rooms.Delivered) {
		t.metrics.delivered(ev, d, sp.SpanContext())
		endDelivery(sp, d)
	}
}

// endDelivery ends the span of a delivery with its outcome.
func endDelivery(sp *span.Span, d rooms.Delivered) {
	if sp == nil {
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
		sp.AddEvent(name, trace.WithTimestamp(n.At), trace.WithAttributes(connectionID.String(n.ConnID)))
	}
	if d.Slowest == "" {
		sp.FinishAt(end, nil, keyWritten.Int(written), keyDropped.Int(dropped))
	} else {
		sp.FinishAt(end, nil, keyWritten.Int(written), keyDropped.Int(dropped), keySlowest.Of(d.Slowest))
	}
}

// appendSystem appends the messaging.system of what came by this transport, unless ctx has a connection: its spans have it.
func appendSystem(ctx context.Context, attrs []span.Attr, transport string) []span.Attr {
	if span.ConnectionOf(ctx) != nil {
		return attrs
	}
	if transport == "" { // no client caused it: a node is gone, and its clients with it
		transport = "traceroom"
	}
	return append(attrs, keySystem.Of(transport))
}

// eventAttrs is the most attributes that appendEvent appends.
const eventAttrs = 6

// appendEvent appends the attributes of an event that broadcast, relay and deliver have.
func appendEvent(attrs []span.Attr, ev *rooms.Event) []span.Attr {
	attrs = append(attrs, keyRoom.Of(ev.RoomID), keyEvent.Of(ev.Kind.String()))
	if ev.ClientID != "" {
		attrs = append(attrs, keyClient.Of(ev.ClientID))
	}
	if m := ev.Message; m != nil {
		attrs = append(attrs, keyMessage.Of(m.ID), keySize.Int(len(m.Text)), keySeq.Int64(m.Seq))
	}
	return attrs
}
