package tracelog

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// Operations' spans are read in a way of their own, those of libraries as the SDK's are: both must say the same.
func TestOperationsAreToldAsOtherSpansAre(t *testing.T) {
	remote := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	many := make([]span.Attr, 0, 14)
	for _, k := range []*span.Key{spantest.Room, spantest.Client, spantest.Message, spantest.Handle, spantest.User, spantest.Event} {
		many = append(many, k.Of("value of "+string(k.Name())))
	}
	many = append(many, spantest.Seq.Int(1), spantest.Size.Int(2), spantest.Count.Int(3), spantest.Recipients.Int(4))
	for name, attrs := range map[string][]span.Attr{
		"none":   nil,
		"plain":  {spantest.Room.Of("general"), spantest.Seq.Int64(-7), spantest.Count.Int(0)},
		"quoted": {spantest.Room.Of("a \"room\" \\ é 👋 \x00\xff"), spantest.Size.Int(1 << 40)},
		"long":   {spantest.Handle.Of(strings.Repeat("x", 600)), spantest.Seq.Int(1)},
		"empty":  {spantest.Handle.Of("")},
		"many":   many,
	} {
		for _, failure := range []error{nil, errors.New("it \"broke\"")} {
			for _, op := range []*span.Operation{spantest.Receive, spantest.Append, spantest.Join} {
				t.Run(name, func(t *testing.T) {
					ctx := span.ContextWithConnection(trace.ContextWithRemoteSpanContext(t.Context(), remote), spantest.NewConnection("abcdef-17", remote))
					s := spantest.NewTracer().StartAt(ctx, time.Now(), op, attrs...)
					started := both(t, func(l *Log) { l.Began(ctx, s) }, func(l *Log) { l.OnStart(ctx, s) })
					require.Equal(t, "conn-17", started["thread"])
					s.Set(spantest.Dropped.Int(1))
					s.Set(spantest.Dropped.Int(2)) // instead
					s.AddEvent("slow", trace.WithTimestamp(time.UnixMilli(5)))
					s.FinishAt(s.StartTime().Add(1234567*time.Nanosecond), failure, spantest.Written.Int(3))
					ended := both(t, func(l *Log) { l.Ended(s) }, func(l *Log) { l.OnEnd(s) })
					require.EqualValues(t, "1234", ended["durationMicros"])
					if failure == nil {
						require.Equal(t, map[string]any{"written": 3.0, "dropped": 2.0}, ended["result"], "what it did not start with")
					}
				})
			}
		}
	}
}

// both is the line that both make.
func both(t *testing.T, ours, theirs func(*Log)) map[string]any {
	t.Helper()
	line := func(f func(*Log)) map[string]any {
		var out bytes.Buffer
		f(New(spantest.Table, zapcore.AddSync(&out), nil))
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
