package tracing

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// messageSpans makes a message's four spans, each with these attributes.
func messageSpans(ctx context.Context, t *tracer, attrs []attr) {
	ctx, receive := t.start(ctx, &opReceive, attrs...)
	_, stored := t.start(ctx, &opAppend, attrs...)
	stored.End()
	ctx, broadcast := t.start(ctx, &opBroadcast, attrs...)
	_, deliver := t.start(ctx, &opDeliver, attrs...)
	broadcast.End()
	receive.End()
	deliver.End()
}

// What keeping the newest traces adds to a message's four spans: the difference between the two.
func BenchmarkMessageSpans(b *testing.B) {
	for _, with := range []bool{false, true} {
		name := "without"
		t := &tracer{sampler: sdktrace.AlwaysSample(), observers: []observer{operationTimes{newMetrics()}}}
		if with {
			name = "with"
			t.observers = append(t.observers, newLive(500, nil, nil, ""))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			attrs := []attr{keyEvent.text("message"), keyRecipients.int(8), keySeq.int(7), keyUser.text("user"), keyCount.int(1)}
			for b.Loop() {
				messageSpans(b.Context(), t, attrs)
			}
		})
	}
}

// What keeping one more span costs in itself, with memory full.
func BenchmarkLiveOnStart(b *testing.B) {
	l := newLive(500, nil, nil, "")
	t := &tracer{sampler: sdktrace.AlwaysSample()}
	var spans []sdktrace.ReadWriteSpan
	for range 2000 {
		ctx, receive := t.start(b.Context(), &opReceive)
		spans = append(spans, receive)
		for _, op := range []*operation{&opAppend, &opBroadcast, &opDeliver} {
			_, s := t.start(ctx, op)
			spans = append(spans, s)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.OnStart(b.Context(), spans[i])
		if i++; i == len(spans) {
			i = 0
		}
	}
}

// What one viewer costs each quarter of a second while 625 messages come in it (2,500 a second), unfiltered and filtered.
func BenchmarkLiveViewer(b *testing.B) {
	for name, filter := range map[string]liveFilter{
		"all":    {limit: defaultListed},
		"errors": {limit: defaultListed, errors: true},
		"room":   {limit: defaultListed, room: "elsewhere"},
		"text":   {limit: defaultListed, text: "nothing is like this"},
	} {
		b.Run(name, func(b *testing.B) {
			l := newLive(500, newMetrics(), nil, "")
			t := &tracer{sampler: sdktrace.AlwaysSample(), observers: []observer{l}}
			for range 700 {
				attrs := []attr{keyEvent.text("message"), keyRecipients.int(200), keySeq.int(7), keyUser.text("user"), keyConnection.text("abcdef-1")}
				messageSpans(b.Context(), t, attrs)
			}
			out := httptest.NewRecorder()
			v := viewer{live: l, filter: filter, out: out, control: http.NewResponseController(out), open: make(map[trace.TraceID]struct{})}
			now := time.Now()
			b.ReportAllocs()
			for b.Loop() {
				v.clock = 1
				out.Body.Reset()
				if err := v.traces(now, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
