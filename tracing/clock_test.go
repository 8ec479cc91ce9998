package tracing

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// jumped is what time.Now returns at the moment t once the wall clock has been set by d: the monotonic clock goes on.
func jumped(t time.Time, d time.Duration) time.Time {
	wall := t.Round(0).Add(d)
	// As package time has it: the highest bit says that there is a monotonic reading, 33 bits are seconds.
	*(*uint64)(unsafe.Pointer(&t)) += uint64(d/time.Second) << 30
	if !t.Round(0).Equal(wall) {
		panic("package time has other times than it had")
	}
	return t
}

// heardRelay is a Relay by which other nodes are heard.
type heardRelay struct {
	rooms.Relay
	heard func(context.Context, *rooms.Event)
}

func (r *heardRelay) Subscribe(_ context.Context, _ string, handle func(context.Context, *rooms.Event)) (func(), error) {
	r.heard = handle
	return func() {}, nil
}

// Whatever the clocks of this and of other machines do, nothing takes less than no time: neither in spans, the trace log, the
// metrics, nor the live traces.
func TestNothingTakesLessThanNoTime(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			w := watch(t, 100)
			hooks := w.Hooks()
			relay := &heardRelay{}
			_, err := w.Relay(relay).Subscribe(t.Context(), "general", func(ctx context.Context, ev *rooms.Event) {
				hooks.Delivering(ctx, ev, 1)(rooms.Delivered{Slowest: "abcdef-1",
					ByTransport: []rooms.TransportDelivered{{Transport: "websocket", Written: 1, Last: time.Now()}},
					Notes:       []rooms.Notable{{ConnID: "abcdef-1", At: time.Now().Round(0).Add(jump)}}})
			})
			require.NoError(t, err)
			// Another node, by its clock.
			there := time.Now().Round(0).Add(jump)
			relay.heard(t.Context(), &rooms.Event{Kind: rooms.EventMessage, RoomID: "general", ClientID: "ada", Message: message,
				Transport: "websocket", Received: there, Relayed: there})
			// This machine's clock is set while spans are open.
			now := time.Now()
			s := w.tracer.StartAt(t.Context(), now, opReceive)
			child := w.tracer.StartAt(trace.ContextWithSpan(t.Context(), s), jumped(now.Add(time.Millisecond), jump), opAppend)
			child.AddEvent("event", trace.WithTimestamp(now.Round(0).Add(jump)))
			child.FinishAt(jumped(now.Add(3*time.Millisecond), jump), nil)
			s.FinishAt(jumped(now.Add(4*time.Millisecond), jump), errors.New("no"))
			// Those who say when things were do so by any clock.
			for _, at := range []time.Time{now, now.Round(0)} {
				w.tracer.StartAt(t.Context(), at, opReceive).FinishAt(at.Round(0).Add(jump), nil)
				ctx, library := w.traces.Tracer(httpScope).Start(t.Context(), "GET /rooms", trace.WithTimestamp(at))
				w.tracer.StartAt(ctx, at.Round(0).Add(jump), opListRooms).End()
				library.SetStatus(codes.Error, "no")
				library.AddEvent("event", trace.WithTimestamp(at.Round(0).Add(jump)))
				library.End(trace.WithTimestamp(at.Round(0).Add(jump)))
			}
			require.Equal(t, 2*time.Millisecond, child.Duration(), "by the monotonic clock")
			require.Equal(t, 4*time.Millisecond, s.Duration())
			require.Equal(t, time.Millisecond, child.StartTime().Round(0).Sub(s.StartTime().Round(0)), "a trace has one clock")

			checked := 0
			for _, trace := range w.list("") {
				var body any
				require.NoError(t, json.Unmarshal([]byte(w.get("/traces/"+trace.TraceID, 200, nil)), &body))
				requireNoNegative(t, "", body, &checked)
				var otlp struct {
					ResourceSpans []struct {
						ScopeSpans []struct {
							Spans []struct{ StartTimeUnixNano, EndTimeUnixNano string }
						}
					}
				}
				require.NoError(t, json.Unmarshal([]byte(w.get("/traces/"+trace.TraceID+".otlp.json", 200, nil)), &otlp))
				for _, s := range otlp.ResourceSpans[0].ScopeSpans[0].Spans {
					start, _ := strconv.ParseInt(s.StartTimeUnixNano, 10, 64)
					end, _ := strconv.ParseInt(s.EndTimeUnixNano, 10, 64)
					require.GreaterOrEqual(t, end, start)
				}
			}
			require.Greater(t, checked, 50)
			entered := map[string]int64{}
			for _, l := range w.log.all() {
				var line struct {
					Timestamp      int64
					Event          string
					SpanID         string `json:"span_id"`
					DurationMicros int64
				}
				require.NoError(t, json.Unmarshal([]byte(l), &line))
				require.GreaterOrEqual(t, line.DurationMicros, int64(0))
				if line.Event == "ENTER" {
					entered[line.SpanID] = line.Timestamp
				} else {
					require.InDelta(t, line.DurationMicros/1000, line.Timestamp-entered[line.SpanID], 1, l)
				}
			}
			families, err := w.metrics.registry.Gather()
			require.NoError(t, err)
			counted := map[string]uint64{}
			for _, f := range families {
				if !strings.HasPrefix(f.GetName(), "traceroom_") {
					continue
				}
				for _, m := range f.GetMetric() {
					require.GreaterOrEqual(t, m.GetHistogram().GetSampleSum(), 0.0, f.GetName())
					counted[f.GetName()] += m.GetHistogram().GetSampleCount()
				}
			}
			for _, name := range []string{"traceroom_delivery_latency_seconds", "traceroom_relay_lag_seconds", "traceroom_operation_duration_seconds"} {
				require.Positive(t, counted[name], name)
			}
		})
	}
}

// requireNoNegative looks for numbers below zero in what JSON says.
func requireNoNegative(t *testing.T, at string, v any, checked *int) {
	t.Helper()
	switch v := v.(type) {
	case float64:
		require.GreaterOrEqual(t, v, 0.0, at)
		*checked++
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			requireNoNegative(t, at+"."+k, v[k], checked)
		}
	case []any:
		for i := range v {
			requireNoNegative(t, at+"[]", v[i], checked)
		}
	}
}

// A clock that is set back by an hour does not take exemplars away for an hour.
func TestExemplarsGoOnWhenTheClockIsSetBack(t *testing.T) {
	w := watch(t, 1)
	h := w.metrics.lag
	sc := func(n byte) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{n}, SpanID: trace.SpanID{n}, TraceFlags: trace.FlagsSampled})
	}
	exemplar := func() string {
		var m dto.Metric
		require.NoError(t, h.Observer.(prometheus.Metric).Write(&m))
		for _, b := range m.GetHistogram().GetBucket() {
			if b.Exemplar != nil {
				return b.Exemplar.GetLabel()[0].GetValue() + b.Exemplar.GetLabel()[1].GetValue()
			}
		}
		return ""
	}
	now := time.Now()
	h.observe(.001, sc(1), now)
	first := exemplar()
	require.NotEmpty(t, first)
	h.observe(.001, sc(2), now.Add(exemplarEvery/2))
	require.Equal(t, first, exemplar(), "not so soon")
	h.observe(.001, sc(3), now.Add(-time.Hour))
	require.NotEqual(t, first, exemplar())
}

// A viewer's numbers and the metrics' page are there whatever the clock does.
func TestNumbersWhenTheClockJumps(t *testing.T) {
	w := watch(t, 10)
	now := time.Now().Round(0)
	for _, jump := range []time.Duration{0, time.Second, -time.Hour, time.Hour, 0} {
		w.metrics.stored("http")
		n := w.live.Numbers(now.Add(jump))
		require.GreaterOrEqual(t, n.Messages, 0.0)
		require.GreaterOrEqual(t, n.Over, time.Duration(0))
	}
	metrics := httptest.NewRecorder()
	w.MetricsHandler().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, metrics.Code)
}
