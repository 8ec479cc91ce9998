package tracing

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// Operations' spans are read in a way of their own, and by processors of others as the SDK's are: both must say the same.
func TestOperationsAreToldAsOtherSpansAre(t *testing.T) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	c := newConnection("abcdef-17", "websocket")
	c.link(remote)
	many := make([]attr, 0, 14)
	for _, k := range []*key{keyRoom, keyClient, keyMessage, keyHandle, keyUser, keySlowest, keyEvent, keyPath, keyCloseReason, keyMethod, keyRoute} {
		many = append(many, k.text("value of "+string(k.name)))
	}
	for name, attrs := range map[string][]attr{
		"none":   nil,
		"plain":  {keyRoom.text("general"), keySeq.int64(-7), keyCount.int(0)},
		"quoted": {keyRoom.text("a \"room\" \\ é 👋 \x00\xff"), keySize.int(1 << 40)},
		"long":   {keyHandle.text(strings.Repeat("x", 600)), keySeq.int(1)},
		"empty":  {keyHandle.text("")},
		"many":   many,
	} {
		for _, failure := range []error{nil, errors.New("it \"broke\"")} {
			for _, op := range []*operation{&opReceive, &opAppend, &opJoin} {
				t.Run(name, func(t *testing.T) {
					ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote)
					tracer := &tracer{sampler: sdktrace.AlwaysSample()}
					s := tracer.startAt(ctx, time.Now(), op, attrs...)
					s.connection = c
					started := both(t, func(l *traceLog) { l.began(ctx, s) }, func(l *traceLog) { l.OnStart(ctx, s) })
					require.Equal(t, "conn-17", started["thread"])
					s.set(keyDropped.int(1))
					s.set(keyDropped.int(2)) // instead
					s.AddEvent("slow", trace.WithTimestamp(time.UnixMilli(5)))
					s.endAt(s.start.Add(1234567*time.Nanosecond), failure, keyWritten.int(3))
					ended := both(t, func(l *traceLog) { l.ended(s) }, func(l *traceLog) { l.OnEnd(s) })
					require.EqualValues(t, "1234", ended["durationMicros"])
					if failure == nil {
						require.Equal(t, map[string]any{"written": 3.0, "dropped": 2.0}, ended["result"], "what it did not start with")
					}

					ours, theirs := decoded(t, appendOperation(nil, s)), decoded(t, appendSpan(nil, s))
					require.Empty(t, cmp.Diff(theirs, ours, protocmp.Transform(),
						protocmp.SortRepeated(func(a, b *commonpb.KeyValue) bool { return a.Key < b.Key })))
				})
			}
		}
	}
}

// both is the line that both make.
func both(t *testing.T, ours, theirs func(*traceLog)) map[string]any {
	t.Helper()
	line := func(f func(*traceLog)) map[string]any {
		var out bytes.Buffer
		f(&traceLog{out: zapcore.AddSync(&out)})
		v := parsed(t, out)[0]
		for k := range v {
			switch text, _ := v[k].(string); {
			case (k == "args" || k == "result") && strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}"):
				v[k] = object(t, text) // in any order
			case k == "args" || k == "result":
				v[k] = len(text)
			}
		}
		return v
	}
	got, want := line(ours), line(theirs)
	if _, plain := got["result"].(map[string]any); plain {
		want["result"] = got["result"] // other spans do not say what they started with
	}
	require.Equal(t, want, got)
	return got
}

func decoded(t *testing.T, wire []byte) *tracepb.ScopeSpans {
	t.Helper()
	spans := &tracepb.ScopeSpans{}
	require.NoError(t, proto.Unmarshal(wire, spans))
	require.Len(t, spans.Spans, 1)
	return spans
}
