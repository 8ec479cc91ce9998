package tracelog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// logged returns the lines that f's spans make.
func logged(t *testing.T, f func(tracer trace.Tracer)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(New(spantest.Table, zapcore.AddSync(&out), nil)))
	f(provider.Tracer(spantest.Scope))
	require.NoError(t, provider.Shutdown(t.Context()))
	return parsed(t, out)
}

// parsed is the lines in out.
func parsed(t *testing.T, out bytes.Buffer) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for s := range strings.Lines(out.String()) {
		var v map[string]any
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		require.NoErrorf(t, d.Decode(&v), "%s", s)
		// The line is what encoding/json makes of the same values, but for the order of the fields and what it escapes
		// for HTML's sake.
		again, err := json.Marshal(v)
		require.NoError(t, err)
		require.JSONEq(t, string(again), s)
		require.True(t, strings.HasSuffix(s, "}\n"))
		lines = append(lines, v)
	}
	return lines
}

// object is the JSON in a string.
func object(t *testing.T, v any) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(v.(string)), &m))
	return m
}

func TestLinesSayWhatSpansDo(t *testing.T) {
	start := time.UnixMilli(1635789012345)
	const awkward = "<a> \"b\" \\ \n\t\x01 é 👋 \u2028"
	var root, child trace.SpanContext
	lines := logged(t, func(tracer trace.Tracer) {
		ctx, span := tracer.Start(t.Context(), spantest.Receive.Name, trace.WithTimestamp(start), trace.WithAttributes(
			spantest.Connection.Name().String("abc-17"), semconv.MessagingDestinationName(awkward), semconv.MessagingMessageBodySize(6),
			attribute.String("traceroom.unknown", "left out")))
		root = span.SpanContext()
		_, inner := tracer.Start(ctx, spantest.Append.Name, trace.WithTimestamp(start.Add(time.Millisecond)),
			trace.WithLinks(trace.Link{SpanContext: root}))
		child = inner.SpanContext()
		endAt(inner, errors.New(awkward), start.Add(1500*time.Microsecond))
		span.SetAttributes(spantest.Seq.Name().Int64(42))
		span.End(trace.WithTimestamp(start.Add(2740 * time.Microsecond)))
	})
	require.Len(t, lines, 4)
	enter, enter2, exit2, exit := lines[0], lines[1], lines[2], lines[3]

	require.Equal(t, json.Number("1635789012345"), enter["timestamp"])
	require.Equal(t, []any{"ENTER", "conn-17", "rooms", "receive"}, []any{enter["event"], enter["thread"], enter["module"], enter["function"]})
	require.Equal(t, map[string]any{"connection_id": "abc-17", "room_id": awkward, "text_length": 6.0}, object(t, enter["args"]))
	require.Equal(t, []any{root.TraceID().String(), root.SpanID().String(), nil}, []any{enter["trace_id"], enter["span_id"], enter["parent_span_id"]})
	require.NotContains(t, enter, "result")

	require.Equal(t, []any{root.TraceID().String(), child.SpanID().String(), root.SpanID().String()}, []any{enter2["trace_id"], enter2["span_id"], enter2["parent_span_id"]})
	require.Equal(t, []any{root.TraceID().String(), root.SpanID().String()}, []any{enter2["linked_trace_id"], enter2["linked_span_id"]})
	require.Equal(t, "{}", enter2["args"])

	require.Equal(t, map[string]any{"type": "unavailable", "message": awkward}, exit2["exception"])
	require.Equal(t, "error: unavailable: "+awkward, exit2["result"])
	require.Equal(t, json.Number("500"), exit2["durationMicros"])

	require.Equal(t, []any{"EXIT", "conn-17", "rooms", "receive"}, []any{exit["event"], exit["thread"], exit["module"], exit["function"]})
	require.Equal(t, json.Number("1635789012347"), exit["timestamp"])
	require.Equal(t, []any{json.Number("2740"), json.Number("2")}, []any{exit["durationMicros"], exit["durationMillis"]})
	require.Equal(t, map[string]any{"seq": 42.0}, object(t, exit["result"]))
	require.NotContains(t, exit, "exception")
	require.NotContains(t, exit, "args")
}

// endAt is end at a given moment.
func endAt(span trace.Span, err error, at time.Time) {
	span.SetAttributes(semconv.ErrorTypeKey.String("unavailable"))
	span.SetStatus(codes.Error, err.Error())
	span.End(trace.WithTimestamp(at))
}

func TestThreads(t *testing.T) {
	lines := logged(t, func(tracer trace.Tracer) {
		for _, name := range []string{spantest.Start.Name, spantest.Create.Name, "GET /rooms"} {
			_, span := tracer.Start(t.Context(), name)
			span.End()
		}
	})
	var threads []any
	for i := 0; i < len(lines); i += 2 {
		threads = append(threads, lines[i]["thread"])
	}
	require.Equal(t, []any{"main", "http", "http"}, threads)
}

func TestTextIsInTheArgsOnlyWhenItIsGiven(t *testing.T) {
	var out bytes.Buffer
	tracer := spantest.NewTracer(New(spantest.Table, zapcore.AddSync(&out), spantest.Receive))
	for _, ctx := range []context.Context{t.Context(), WithText(t.Context(), "said \"so\"")} {
		ctx, span := tracer.Start(ctx, spantest.Receive, spantest.Size.Int(9))
		_, inner := tracer.Start(ctx, spantest.Append, spantest.Size.Int(9))
		inner.Finish(nil)
		span.Finish(nil)
	}
	lines := parsed(t, out)
	require.Equal(t, map[string]any{"text_length": 9.0}, object(t, lines[0]["args"]))
	require.Equal(t, map[string]any{"text_length": 9.0, "text": "said \"so\""}, object(t, lines[4]["args"]))
	require.Equal(t, map[string]any{"text_length": 9.0}, object(t, lines[5]["args"]), "the message's other spans do not repeat it")
}

// unquoted is what a JSON string says.
func unquoted(t *testing.T, p []byte) string {
	t.Helper()
	var s string
	require.NoErrorf(t, json.Unmarshal(p, &s), "%s", p)
	return s
}

func TestFieldsAreCutAtFiveHundredCharacters(t *testing.T) {
	for _, s := range []string{
		"", strings.Repeat("x", 500), strings.Repeat("é", 500), strings.Repeat("\x01", 500),
	} {
		require.Equal(t, s, unquoted(t, appendCut(nil, []byte(s))))
	}
	for _, c := range []string{"x", "é", "👋", "\"", "\x01", "\n"} {
		require.Equal(t, strings.Repeat(c, 500)+"...(truncated)", unquoted(t, appendCut(nil, []byte(strings.Repeat(c, 501)))))
	}
}

func FuzzAppendCut(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add([]byte("\xff\xfe\"\\\x00"))
	f.Add(bytes.Repeat([]byte("é"), 501))
	f.Add(bytes.Repeat([]byte{0xff}, 501))
	f.Fuzz(func(t *testing.T, s []byte) {
		got := unquoted(t, appendCut([]byte(nil), s))
		want := []rune(string(s)) // what is not UTF-8 becomes U+FFFD
		if len(want) > maxField {
			want = append(want[:maxField:maxField], []rune(truncated)...)
		}
		require.Equal(t, string(want), got)
		require.True(t, utf8.ValidString(got))
	})
}
