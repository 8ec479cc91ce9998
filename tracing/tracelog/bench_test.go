package tracelog

import (
	"context"
	"io"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/tracing/span/spantest"
)

// usual is the span of an operation as nearly all are.
func usual() (context.Context, *span.Span) {
	ctx := span.ContextWithConnection(context.Background(), spantest.NewConnection("abcdef-17", spantest.NewTracer().StartAt(context.Background(), time.Now(), spantest.Connect).SpanContext()))
	return ctx, spantest.NewTracer().StartAt(ctx, time.Now(), spantest.Receive,
		spantest.Room.Of("general"), spantest.Client.Of("ada"), spantest.Event.Of("message"), spantest.Size.Int(64))
}

// What a line costs, and without the pool of lines' memory.
func BenchmarkLine(b *testing.B) {
	ctx, s := usual()
	l := New(spantest.Table, zapcore.AddSync(io.Discard), nil)
	b.Run("as it is", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.Began(ctx, s)
		}
	})
	b.Run("without a pool", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := lines.New().(*line)
			c := said(l.table, s, s.StartAttrs())
			l.write(m.enter(&c, s.StartTime(), "", false))
		}
	})
}

// What the object in a line costs, and without fast.go.
func BenchmarkObject(b *testing.B) {
	_, s := usual()
	c := said(spantest.Table, s, s.StartAttrs())
	m := lines.New().(*line)
	buf := make([]byte, 0, 1024)
	b.Run("as it is", func(b *testing.B) {
		for b.Loop() {
			m.appendObject(buf, &c, args)
		}
	})
	b.Run("in steps", func(b *testing.B) {
		for b.Loop() {
			m.appendObjectInSteps(buf, &c, args)
		}
	})
}
