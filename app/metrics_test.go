package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

func TestMetricsAreThereFromTheStart(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	m := p.Metrics(t)
	var zero []string
	for _, transport := range []string{"websocket", "socket.io"} {
		zero = append(zero,
			fmt.Sprintf(`traceroom_connections{transport=%q}`, transport),
			fmt.Sprintf(`traceroom_messages_total{transport=%q}`, transport),
			fmt.Sprintf(`traceroom_deliveries_total{transport=%q}`, transport),
			fmt.Sprintf(`traceroom_delivery_latency_seconds_count{transport=%q}`, transport),
			fmt.Sprintf(`traceroom_delivery_latency_seconds_bucket{transport=%q,le="+Inf"}`, transport),
			fmt.Sprintf(`traceroom_disconnects_total{reason="other",transport=%q}`, transport))
	}
	for _, reason := range []string{"normal", "going_away", "protocol_error", "unsupported_data", "no_code", "connection_lost", "invalid_data",
		"message_too_big", "server_error", "room_deleted", "not_allowed", "too_slow"} {
		zero = append(zero, fmt.Sprintf(`traceroom_disconnects_total{reason=%q,transport="websocket"}`, reason))
	}
	for _, operation := range []string{"connect", "join", "receive", "append", "broadcast", "relay", "deliver", "leave", "disconnect",
		"create_room", "list_rooms", "get_room", "delete_room", "list_messages", "drain"} {
		for _, outcome := range []string{"ok", "error"} {
			zero = append(zero, fmt.Sprintf(`traceroom_operation_duration_seconds_count{operation=%q,outcome=%q}`, operation, outcome))
		}
	}
	zero = append(zero, "traceroom_members", `traceroom_messages_total{transport="http"}`, `traceroom_dropped_total{reason="slow"}`,
		`traceroom_dropped_total{reason="closed"}`, "traceroom_store_batch_size_count", "traceroom_spans_dropped_total",
		`traceroom_trace_lines_lost_total{sink="file"}`)
	for _, series := range zero {
		value, ok := m[series]
		require.Truef(t, ok, "%s is not there", series)
		require.Zero(t, value, series)
	}
	require.EqualValues(t, 3, m["traceroom_rooms"])
	for _, series := range []string{"go_goroutines", "process_cpu_seconds_total", "process_resident_memory_bytes"} {
		require.Positive(t, m[series], series)
	}
}

func TestMetricsTellOfAConversation(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	ada, bob, bob2 := p.Join(t, "one", "ada"), p.Join(t, "one", "bob"), p.Join(t, "one", "bob")
	p.Join(t, "two", "cyd")
	say(t, ada, "1", "2", "3")
	ada.Say(t, "")
	ada.UntilType(t, "error")
	for _, c := range []*apptest.Client{bob, bob2} {
		c.UntilText(t, "3")
	}
	ada.Send(t, `{"type":"typing"}`)
	bob.UntilType(t, "typing")
	bob2.UntilType(t, "typing")
	ada.Leave(t)
	bob.UntilType(t, "user_left")
	bob2.UntilType(t, "user_left")

	want := map[string]float64{
		`traceroom_connections{transport="websocket"}`: 3,
		`traceroom_connections{transport="socket.io"}`: 0,
		"traceroom_rooms":   5,
		"traceroom_members": 3,
		`traceroom_messages_total{transport="websocket"}`: 3,
		`traceroom_messages_total{transport="http"}`:      0,
		// ada gets that bob joins; three members get three messages; bob's two connections get that ada types and leaves
		`traceroom_deliveries_total{transport="websocket"}`:                               1 + 3*3 + 2 + 2,
		`traceroom_dropped_total{reason="slow"}`:                                          0,
		`traceroom_disconnects_total{reason="normal",transport="websocket"}`:              1,
		`traceroom_delivery_latency_seconds_count{transport="websocket"}`:                 3,
		"traceroom_store_batch_size_sum":                                                  3,
		`traceroom_operation_duration_seconds_count{operation="connect",outcome="ok"}`:    4,
		`traceroom_operation_duration_seconds_count{operation="join",outcome="ok"}`:       4,
		`traceroom_operation_duration_seconds_count{operation="receive",outcome="ok"}`:    4,
		`traceroom_operation_duration_seconds_count{operation="receive",outcome="error"}`: 1,
		`traceroom_operation_duration_seconds_count{operation="append",outcome="ok"}`:     3,
		`traceroom_operation_duration_seconds_count{operation="leave",outcome="ok"}`:      1,
		`traceroom_operation_duration_seconds_count{operation="disconnect",outcome="ok"}`: 1,
	}
	var got map[string]float64
	apptest.Eventually(t, "all is counted", func() bool {
		got = p.Metrics(t)
		for series, value := range want {
			if got[series] != value {
				return false
			}
		}
		return true
	})
	require.Less(t, got[`traceroom_delivery_latency_seconds_sum{transport="websocket"}`], 60.0)
	for series := range got {
		require.NotContains(t, series, "ada", "a client is no label")
		require.NotContains(t, series, `"one"`, "a room is no label")
		if strings.HasPrefix(series, "http_") {
			require.NotContains(t, series, "/ws/", "a connection is no request to time")
		}
	}
	p.Get(t, "/rooms/one/")
	require.EqualValues(t, 1, requests(p.Metrics(t), "/rooms/{room_id}"))
}

// requests returns how many requests of the route were timed.
func requests(m map[string]float64, route string) (n float64) {
	for series, value := range m {
		if strings.HasPrefix(series, "http_server_request_duration_seconds_count{") && strings.Contains(series, `http_route="`+route+`"`) {
			n += value
		}
	}
	return n
}

func TestExemplarsLeadToTracesInTheLog(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	say(t, p.Join(t, "talk", "ada"), numbered("m", 1, 20)...)
	pattern := regexp.MustCompile(`# \{([^}]*)\}`)
	ids := regexp.MustCompile(`(trace_id|span_id)="([0-9a-f]+)"`)
	found := map[string]string{} // span by trace
	for _, metric := range []string{"traceroom_operation_duration_seconds", "traceroom_delivery_latency_seconds"} {
		n := 0
		apptest.Eventually(t, "there are exemplars", func() bool {
			res := p.Get(t, "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
			require.Contains(t, res.Header.Get("Content-Type"), "application/openmetrics-text")
			require.True(t, strings.HasSuffix(res.Body, "# EOF\n"))
			for line := range strings.Lines(res.Body) {
				if m := pattern.FindStringSubmatch(line); m != nil && strings.HasPrefix(line, metric+"_bucket{") {
					pairs := ids.FindAllStringSubmatch(m[1], -1)
					require.Len(t, pairs, 2, line)
					values := map[string]string{pairs[0][1]: pairs[0][2], pairs[1][1]: pairs[1][2]}
					found[values["trace_id"]] = values["span_id"]
					n++
				}
			}
			return n > 0
		})
	}
	require.NotContains(t, p.Get(t, "/metrics").Body, "trace_id=", "the plain text format has none")
	p.Stop(t)
	logged := map[string]bool{}
	for _, l := range p.TraceLog(t) {
		logged[l.TraceID+l.SpanID] = true
	}
	for trace, span := range found {
		require.True(t, logged[trace+span], "%s %s", trace, span)
	}
}
