package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// Hooks reports deliveries: a span for each event and node, which ends when the last member's write has returned.
func (t *Telemetry) Hooks() rooms.Hooks {
	return rooms.Hooks{
		Delivering:    t.delivering,
		MemberDropped: func(context.Context, *rooms.Member) {},
		RelayFailed:   func(context.Context, error) { t.metrics.relayErrors.Inc() },
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
	if t.tracer.off {
		return func(d rooms.Delivered) { t.metrics.delivered(ev, d, trace.SpanContext{}) }
	}
	_, span := t.tracer.start(ctx, &opDeliver, append(eventAttrs(ev), attrRecipients.Int(recipients))...)
	return func(d rooms.Delivered) {
		t.metrics.delivered(ev, d, span.SpanContext())
		if !span.IsRecording() {
			return
		}
		written, dropped := 0, 0
		end := time.Now()
		for _, by := range d.ByTransport {
			written += by.Written
			dropped += by.Refused + by.Lost
		}
		span.SetAttributes(attrWritten.Int(written), attrDropped.Int(dropped))
		if d.Slowest != "" {
			span.SetAttributes(attrSlowest.String(d.Slowest))
		}
		for _, n := range d.Notes {
			name := "slow"
			if n.Dropped {
				name = "dropped"
			}
			span.AddEvent(name, trace.WithTimestamp(n.At), trace.WithAttributes(attrConnection.String(n.ConnID)))
		}
		span.End(trace.WithTimestamp(end))
	}
}

// eventAttrs are the attributes that broadcast, relay and deliver have of their event.
func eventAttrs(ev *rooms.Event) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 12)
	attrs = append(attrs, semconv.MessagingDestinationName(ev.RoomID), attrEvent.String(ev.Kind.String()))
	if ev.ClientID != "" {
		attrs = append(attrs, semconv.MessagingClientID(ev.ClientID))
	}
	if m := ev.Message; m != nil {
		attrs = append(attrs, semconv.MessagingMessageID(m.ID), semconv.MessagingMessageBodySize(len(m.Text)), attrSeq.Int64(m.Seq))
	}
	return attrs
}
