package tracing

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// requireWeights sees to it that what is noted of the kept traces' weight is so, and within its bounds.
func requireWeights(t *testing.T, l *live) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind := range l.kept {
		list, bytes, spans := &l.kept[kind], 0, 0
		for one := list.newest; one != nil; one = one.older {
			sum := 0
			require.Len(t, one.weights, len(one.spans))
			for i, s := range one.spans {
				sum += int(one.weights[i])
				var weight int
				if own, ok := s.(*span); ok {
					weight = own.weigh()
				} else {
					weight = weigh(s)
				}
				require.LessOrEqual(t, weight, int(one.weights[i]))
			}
			require.Equal(t, sum, one.bytes)
			bytes += sum
			spans += len(one.spans)
		}
		require.Equal(t, bytes, list.bytes)
		require.Equal(t, spans, list.spans)
		require.LessOrEqual(t, bytes, list.mostBytes())
	}
}

// The newest traces have a bound in bytes, whatever is in their spans from the start or is put there later, in many traces
// or in one.
func TestLiveTracesAreBoundedInBytes(t *testing.T) {
	long := strings.Repeat("x", maxText)
	fill := func(s trace.Span, n int) {
		for i := range n {
			s.AddEvent("event", trace.WithAttributes(attribute.String(fmt.Sprint(i), strings.Clone(long))))
		}
		s.SetStatus(codes.Error, long)
		s.End()
	}
	one := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: 1, Remote: true})
	for name, make := range map[string]func(w *watched, i int){
		"long ids": func(w *watched, i int) {
			w.tracer.startAt(t.Context(), time.Now(), &opGetRoom, keyRoom.text(long+fmt.Sprint(i)), keyClient.text(long+fmt.Sprint(i))).end(nil)
		},
		"events": func(w *watched, _ int) { fill(w.tracer.startAt(t.Context(), time.Now(), &opJoin), 20) },
		"one trace": func(w *watched, _ int) {
			fill(w.tracer.startAt(trace.ContextWithSpanContext(t.Context(), one), time.Now(), &opReceive), 20)
		},
		"of a library": func(w *watched, i int) {
			_, s := boundedProvider{w.traces}.Tracer(httpScope).Start(t.Context(), "GET", trace.WithAttributes(attribute.String("user_agent.original", long+fmt.Sprint(i))))
			fill(s, i%20)
		},
		"that were open long": func(w *watched, i int) {
			_, s := w.tracer.start(t.Context(), &opGetRoom)
			w.tracer.startAt(trace.ContextWithSpan(t.Context(), s), time.Now(), &opAppend).end(nil)
			t.Cleanup(func() { fill(s, i%50) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, most := range []int{1, 500} {
				w := watch(t, most, "TRACE_LOG", "off")
				before := heap()
				t.Cleanup(func() { requireWeights(t, w.live) }) // after those of make
				for i := range 1000 {
					make(w, i)
				}
				requireWeights(t, w.live)
				counts := w.live.counts()
				require.Positive(t, counts.LetGoSpans)
				require.Positive(t, counts.Spans)
				if name != "that were open long" { // which the test holds
					require.Less(t, heap(), before+2*(4+2+2)<<20)
				}
			}
		})
	}
}

// What goes by is what the metrics and the view are made for: it must fit, as it did before there was a bound in bytes.
func TestOrdinaryTracesAreNotLetGoOfForTheirWeight(t *testing.T) {
	w := watch(t, 100)
	for i := range 100 {
		w.message(w.connect(i), "general", nil)
	}
	counts := w.live.counts()
	require.Equal(t, 150, counts.Traces)
	require.Equal(t, 450, counts.Spans)
	requireWeights(t, w.live)
	require.Less(t, w.live.kept[liveMessages].bytes, 400<<10)
}

// stuck is an OTLP client whose requests take until they are let go on. It notes how large they are.
type stuck struct {
	on chan struct{}

	mu    sync.Mutex
	sizes []int
	spans int
}

func (*stuck) Start(context.Context) error { return nil }
func (*stuck) Stop(context.Context) error  { return nil }
func (s *stuck) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	<-s.on
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for _, rs := range list {
		wire, err := proto.Marshal(rs)
		if err != nil {
			return err
		}
		size += len(wire)
		read := &tracepb.ResourceSpans{}
		if err := proto.Unmarshal(wire, read); err != nil {
			return err
		}
		s.spans += len(read.ScopeSpans[0].Spans)
	}
	s.sizes = append(s.sizes, size)
	return nil
}

// What waits to be exported has a bound in bytes, and so has what is sent at once; what does not fit is counted.
func TestExportIsBoundedInBytes(t *testing.T) {
	client := &stuck{on: make(chan struct{})}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{Name: "x"})
	export, err := newOTLPExport(t.Context(), client, resource.Empty(),
		exportLimits{queue: 1 << 20, batch: 1 << 20, bytes: maxExport, delay: time.Hour, timeout: time.Minute}, dropped)
	require.NoError(t, err)
	tracer := &tracer{sampler: sdktrace.AlwaysSample(), scope: instrumentation.Scope{Name: scope}}
	tracer.observe(export)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(export))
	long := strings.Repeat("x", maxText)
	const each = 8000
	for range each {
		tracer.startAt(t.Context(), time.Now(), &opGetRoom, keyRoom.text(long)).end(nil)
		_, s := provider.Tracer("other").Start(t.Context(), long)
		s.End()
	}
	export.mu.Lock()
	require.LessOrEqual(t, export.bytes, maxExport)
	require.Greater(t, export.bytes, maxExport-8<<10, "as much as fits waits")
	export.mu.Unlock()

	close(client.on)
	require.NoError(t, export.Shutdown(context.Background()))
	require.NoError(t, provider.Shutdown(context.Background()))
	require.Greater(t, len(client.sizes), 3)
	for _, size := range client.sizes {
		require.Less(t, size, 4<<20)
	}
	var m dto.Metric
	require.NoError(t, dropped.Write(&m))
	require.EqualValues(t, 2*each, client.spans+int(m.GetCounter().GetValue()), "sent or counted")
	require.Zero(t, export.bytes)
	require.Zero(t, export.waiting)
}

// A list shows of each text no more than a line has room for: a viewer may ask for a thousand traces.
func TestListsShowTextInShort(t *testing.T) {
	w := watch(t, 500)
	long := strings.Repeat("\x01", maxText)
	for range 500 {
		s := w.tracer.startAt(t.Context(), time.Now(), &opReceive, keyRoom.text(long), keyClient.text(long), keyEvent.text(long))
		s.SetStatus(codes.Error, long)
		s.End()
	}
	list := w.get("/traces?limit=1000", 200, nil)
	require.Less(t, len(list), 500*(4*6*maxListed+1000))
	require.Len(t, w.list("?limit=1000"), 500)
}
