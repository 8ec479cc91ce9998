package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/traceroom/traceroom/app/apptest"
)

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	frameTrace  = "1bf7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
)

func traceparent(trace, flags string) string { return "00-" + trace + "-" + clientSpan + "-" + flags }

// find returns the only span with this name and these attributes.
func find(t *testing.T, spans []apptest.Span, name string, attrs map[string]any) apptest.Span {
	t.Helper()
	var found []apptest.Span
	for _, s := range spans {
		if s.Name == name && has(s, attrs) {
			found = append(found, s)
		}
	}
	require.Lenf(t, found, 1, "%s %v", name, attrs)
	return found[0]
}

func has(s apptest.Span, attrs map[string]any) bool {
	for key, want := range attrs {
		if s.Attrs[key] != want {
			return false
		}
	}
	return true
}

type attrs = map[string]any

const (
	kindServer   = tracepb.Span_SPAN_KIND_SERVER
	kindInternal = tracepb.Span_SPAN_KIND_INTERNAL
	kindClient   = tracepb.Span_SPAN_KIND_CLIENT
	kindProducer = tracepb.Span_SPAN_KIND_PRODUCER
	kindConsumer = tracepb.Span_SPAN_KIND_CONSUMER
)

// ofConnection returns the attributes of its connection that a span of this name has.
func ofConnection(name string, id any, transport string) attrs {
	all := attrs{"traceroom.connection.id": id}
	switch strings.TrimSuffix(name, " room/{room}") {
	case "receive", "broadcast":
		all["messaging.system"], all["network.protocol.name"] = transport, transport
	case "join", "leave", "disconnect":
		all["network.protocol.name"] = transport
	}
	return all
}

const secret = "what I say is my own business"

// Two clients talk; ada sends trace context, bob does not. The table is that of tracing/README.md.
func TestEverySpanHasItsParentAndItsLinks(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: append(collector.Env(), "OTEL_SERVICE_NAME=chat-in-test")})
	bob := p.Join(t, "talk", "bob")
	ada := p.Connect(t, apptest.Dial{Room: "talk", Client: "ada", Header: http.Header{"Traceparent": {traceparent(clientTrace, "01")}}})
	bob.UntilType(t, "user_joined")

	connect := attrs{"messaging.client.id": "ada"}
	upgraded := collector.Wait(t, "ada's connect, while the connection is open", func(s apptest.Span) bool {
		return s.Name == "GET /ws/{room_id}/{client_id}" && has(s, connect)
	})
	require.Nil(t, ada.Err())

	ada.Send(t, apptest.Message{Type: "message", Text: secret, TraceParent: traceparent(frameTrace, "01"), TraceState: "vendor=1", Ref: "r"})
	_, fromAda := bob.UntilText(t, secret)
	bob.Say(t, secret+"!")
	_, fromBob := ada.UntilText(t, secret+"!")
	ada.Send(t, `{"type":"typing"}`)
	bob.UntilType(t, "typing")
	ada.Send(t, apptest.Message{Type: "message", Text: " ", Ref: secret})
	ada.UntilType(t, "error")
	ada.Leave(t)
	bob.UntilType(t, "user_left")
	p.Stop(t)

	spans := collector.Spans()
	byID := map[string]apptest.Span{}
	for _, s := range spans {
		require.NotContains(t, byID, s.ID, "exported twice")
		byID[s.ID] = s
		require.Equal(t, "chat-in-test", s.Resource["service.name"])
		require.False(t, s.End.Before(s.Start))
	}
	conn := func(client string) attrs { return attrs{"messaging.client.id": client} }
	connected := map[string]apptest.Span{
		"ada": find(t, spans, "GET /ws/{room_id}/{client_id}", conn("ada")),
		"bob": find(t, spans, "GET /ws/{room_id}/{client_id}", conn("bob")),
	}
	require.Equal(t, upgraded.ID, connected["ada"].ID)
	idOf := func(client string) any { return connected[client].Attrs["traceroom.connection.id"] }

	const message, joined, left, typing = "message", "user_joined", "user_left", "typing"
	for _, want := range []struct {
		name   string
		client string
		attrs  attrs
		kind   tracepb.Span_SpanKind
		parent string // name of the parent span; empty if there is none; "client" for the client's own span
		linked bool   // to the connect span
	}{
		{"GET /ws/{room_id}/{client_id}", "ada", attrs{"http.response.status_code": int64(101), "http.request.method": "GET", "url.path": "/ws/talk/ada", "http.route": "/ws/{room_id}/{client_id}"}, kindServer, "client", false},
		{"GET /ws/{room_id}/{client_id}", "bob", attrs{"http.response.status_code": int64(101), "url.path": "/ws/talk/bob"}, kindServer, "", false},
		{"join room/{room}", "ada", nil, kindInternal, "GET /ws/{room_id}/{client_id}", true},
		{"join room/{room}", "bob", nil, kindInternal, "GET /ws/{room_id}/{client_id}", true},
		{"broadcast room/{room}", "ada", attrs{"traceroom.event": joined}, kindProducer, "join room/{room}", false},
		{"deliver room/{room}", "ada", attrs{"traceroom.event": joined, "traceroom.recipients": int64(1), "traceroom.written": int64(1), "traceroom.dropped": int64(0)}, kindInternal, "broadcast room/{room}", false},
		{"receive room/{room}", "ada", attrs{"traceroom.event": message, "traceroom.room.seq": int64(1), "messaging.message.id": fromAda.ID, "messaging.message.body.size": int64(len(secret)), "messaging.operation.name": "receive", "messaging.operation.type": "process"}, kindConsumer, "client", true},
		{"append", "ada", attrs{"traceroom.room.seq": int64(1), "messaging.message.id": fromAda.ID}, kindClient, "receive room/{room}", false},
		{"broadcast room/{room}", "ada", attrs{"traceroom.event": message, "traceroom.room.seq": int64(1), "messaging.message.id": fromAda.ID, "messaging.operation.type": "send"}, kindProducer, "receive room/{room}", false},
		{"deliver room/{room}", "ada", attrs{"traceroom.event": message, "traceroom.room.seq": int64(1), "messaging.message.id": fromAda.ID, "traceroom.recipients": int64(2), "traceroom.written": int64(2), "traceroom.dropped": int64(0)}, kindInternal, "broadcast room/{room}", false},
		{"receive room/{room}", "bob", attrs{"traceroom.event": message, "traceroom.room.seq": int64(2), "messaging.message.id": fromBob.ID}, kindConsumer, "", true},
		{"append", "bob", attrs{"traceroom.room.seq": int64(2)}, kindClient, "receive room/{room}", false},
		{"broadcast room/{room}", "bob", attrs{"traceroom.event": message, "traceroom.room.seq": int64(2)}, kindProducer, "receive room/{room}", false},
		{"deliver room/{room}", "bob", attrs{"traceroom.event": message, "traceroom.room.seq": int64(2), "traceroom.recipients": int64(2)}, kindInternal, "broadcast room/{room}", false},
		{"receive room/{room}", "ada", attrs{"traceroom.event": typing}, kindConsumer, "", true},
		{"broadcast room/{room}", "ada", attrs{"traceroom.event": typing}, kindProducer, "receive room/{room}", false},
		{"deliver room/{room}", "ada", attrs{"traceroom.event": typing, "traceroom.recipients": int64(1)}, kindInternal, "broadcast room/{room}", false},
		{"receive room/{room}", "ada", attrs{"error.type": "empty_text"}, kindConsumer, "", true},
		{"leave room/{room}", "ada", nil, kindInternal, "", true},
		{"broadcast room/{room}", "ada", attrs{"traceroom.event": left}, kindProducer, "leave room/{room}", false},
		{"deliver room/{room}", "ada", attrs{"traceroom.event": left, "traceroom.recipients": int64(1)}, kindInternal, "broadcast room/{room}", false},
		{"disconnect", "ada", attrs{"traceroom.close.code": int64(1000)}, kindInternal, "", true},
		{"disconnect", "bob", attrs{"traceroom.close.code": int64(1001)}, kindInternal, "", true},
	} {
		t.Run(fmt.Sprint(want.name, " ", want.client, " ", want.attrs["traceroom.event"], want.attrs["traceroom.room.seq"]), func(t *testing.T) {
			all := ofConnection(want.name, idOf(want.client), "websocket")
			for k, v := range want.attrs {
				all[k] = v
			}
			s := find(t, spans, want.name, all)
			require.Equal(t, want.kind, s.Kind)
			switch want.parent {
			case "":
				require.Empty(t, s.ParentID)
				if s.Kind != kindServer {
					require.NotEqual(t, connected[want.client].TraceID, s.TraceID, "a trace of its own")
				}
			case "client":
				require.Equal(t, clientSpan, s.ParentID)
			default:
				require.Equal(t, want.parent, byID[s.ParentID].Name)
				require.Equal(t, s.TraceID, byID[s.ParentID].TraceID)
				require.Equal(t, s.Attrs["traceroom.connection.id"], byID[s.ParentID].Attrs["traceroom.connection.id"])
			}
			var links []apptest.Link
			if want.linked {
				links = []apptest.Link{{TraceID: connected[want.client].TraceID, SpanID: connected[want.client].ID}}
			}
			require.Equal(t, links, s.Links)
			if strings.Contains(want.name, "room/{room}") {
				require.Equal(t, "talk", s.Attrs["messaging.destination.name"])
			}
			if s.Attrs["messaging.operation.name"] != nil {
				require.Equal(t, "room/{room}", s.Attrs["messaging.destination.template"])
			}
			require.Equal(t, want.attrs["error.type"] != nil, s.Failed)
		})
	}
	require.Equal(t, clientTrace, connected["ada"].TraceID)
	received := find(t, spans, "receive room/{room}", attrs{"messaging.message.id": fromAda.ID})
	require.Equal(t, frameTrace, received.TraceID)
	require.Equal(t, "vendor=1", received.TraceState)

	// Members get the trace context of the broadcast.
	for _, f := range []apptest.Frame{fromAda, fromBob} {
		b := find(t, spans, "broadcast room/{room}", attrs{"messaging.message.id": f.ID})
		require.Equal(t, "00-"+b.TraceID+"-"+b.ID+"-01", f.TraceParent)
	}
	require.Equal(t, "vendor=1", fromAda.TraceState)

	// The messages' text is nowhere.
	everything, err := json.Marshal(spans)
	require.NoError(t, err)
	require.NotContains(t, string(everything), secret)
	for _, s := range spans {
		if s.Name != "start" && s.Name != "drain" && s.Scope.Name != "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp" {
			require.NotEmpty(t, s.Attrs["traceroom.connection.id"], s.Name)
		}
	}
}

func TestAConnectionTakesTheTraceItIsGiven(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	for name, test := range map[string]struct {
		header, query, frame string
		connect, receive     string // the trace that the span is in; empty for one of its own
	}{
		"header":              {header: traceparent(clientTrace, "01"), connect: clientTrace},
		"query":               {query: traceparent(clientTrace, "01"), connect: clientTrace},
		"header before query": {header: traceparent(clientTrace, "01"), query: traceparent(frameTrace, "01"), connect: clientTrace},
		"frame":               {frame: traceparent(frameTrace, "01"), receive: frameTrace},
		"nothing valid":       {header: "00-x-y-01", query: "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", frame: "hello"},
		"too long":            {frame: traceparent(frameTrace, "01") + strings.Repeat(" ", 600)},
	} {
		t.Run(name, func(t *testing.T) {
			client := strings.ReplaceAll(name, " ", "-")
			d := apptest.Dial{Room: "given", Client: client, Header: http.Header{}, Query: url.Values{}}
			if test.header != "" {
				d.Header.Set("traceparent", test.header)
			}
			if test.query != "" {
				d.Query.Set("traceparent", test.query)
			}
			c := p.Connect(t, d)
			c.Send(t, apptest.Message{Type: "message", Text: name, TraceParent: test.frame})
			c.UntilText(t, name)
			for span, trace := range map[string]string{"GET /ws/{room_id}/{client_id}": test.connect, "receive room/{room}": test.receive} {
				s := collector.Wait(t, span, func(s apptest.Span) bool {
					return s.Name == span && has(s, attrs{"messaging.client.id": client})
				})
				if trace != "" {
					require.Equal(t, trace, s.TraceID)
					require.Equal(t, clientSpan, s.ParentID)
				} else {
					require.NotContains(t, []string{clientTrace, frameTrace}, s.TraceID)
					require.Empty(t, s.ParentID)
				}
			}
		})
	}
}

func TestDeliverSaysWhoWasSlow(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env(), Args: []string{"--queue-length", "16"}})
	fast := p.Join(t, "talk", "fast")
	slow, _, err := p.Socket(apptest.Dial{Room: "talk", Client: "slow"})
	require.NoError(t, err)
	defer slow.Close()
	fast.UntilType(t, "user_joined")
	connected := collector.Wait(t, "slow's connect", func(s apptest.Span) bool {
		return s.Kind == kindServer && has(s, attrs{"messaging.client.id": "slow"})
	})
	id := connected.Attrs["traceroom.connection.id"]
	text := strings.Repeat("👋", 4000)
	for n := 0; p.Metrics(t)[`traceroom_dropped_total{reason="slow"}`] == 0; n++ {
		for i := range 10 {
			fast.Say(t, fmt.Sprint(text, n, " ", i))
		}
		fast.UntilText(t, fmt.Sprint(text, n, " ", 9))
		require.Less(t, n, 1000)
	}
	slow.Close()
	fast.UntilType(t, "user_left")
	deliver := collector.Wait(t, "a delivery that was dropped", func(s apptest.Span) bool {
		return s.Name == "deliver room/{room}" && s.Attrs["traceroom.dropped"] == int64(1)
	})
	require.EqualValues(t, 2, deliver.Attrs["traceroom.recipients"])
	require.EqualValues(t, 1, deliver.Attrs["traceroom.written"])
	require.LessOrEqual(t, len(deliver.Events), 16)
	named := apptest.Event{Name: "dropped", Attrs: attrs{"traceroom.connection.id": id}}
	require.Contains(t, deliver.Events, named)
	collector.Wait(t, "a delivery that named the slow one", func(s apptest.Span) bool {
		return s.Attrs["traceroom.slowest"] == id && s.End.Sub(s.Start) > time.Millisecond
	})
}

func TestRESTCallsAreTraced(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	for _, test := range []struct{ method, path, span, child string }{
		{"POST", "/rooms?room_id=traced", "POST /rooms", "create room"},
		{"GET", "/rooms", "GET /rooms", "list rooms"},
		{"GET", "/rooms/traced/", "GET /rooms/{room_id}", "get room"},
		{"GET", "/rooms/traced/messages", "GET /rooms/{room_id}/messages", "list messages"},
		{"DELETE", "/rooms/traced", "DELETE /rooms/{room_id}", "delete room"},
	} {
		t.Run(test.span, func(t *testing.T) {
			p.Do(t, test.method, test.path, nil, "traceparent", traceparent(clientTrace, "01"))
			s := collector.Wait(t, test.span, func(s apptest.Span) bool { return s.Name == test.span })
			require.Equal(t, kindServer, s.Kind)
			require.Equal(t, clientSpan, s.ParentID)
			require.Equal(t, strings.TrimPrefix(test.span, test.method+" "), s.Attrs["http.route"])
			child := collector.Wait(t, test.child, func(s apptest.Span) bool { return s.Name == test.child })
			require.Equal(t, s.ID, child.ParentID)
			require.Equal(t, kindInternal, child.Kind)
		})
	}
	res := p.Do(t, "DELETE", "/rooms/traced", nil)
	require.Equal(t, http.StatusNotFound, res.Status)
	s := collector.Wait(t, "the failure", func(s apptest.Span) bool { return s.Name == "delete room" && s.Failed })
	require.Equal(t, "not_found", s.Attrs["error.type"])
}

func TestSamplingThinsTheExportAndNotTheLog(t *testing.T) {
	for name, test := range map[string]struct {
		env     []string
		flags   string // of the frame's traceparent
		some    bool   // some spans are exported
		message bool   // those of the message are
	}{
		"always off":             {[]string{"OTEL_TRACES_SAMPLER=always_off"}, "01", false, false},
		"an unsampled client":    {nil, "00", true, false},
		"a ratio of nothing":     {[]string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, "01", true, true},
		"no exporter":            {[]string{"OTEL_TRACES_EXPORTER=none"}, "01", false, false},
		"all of it switched off": {[]string{"OTEL_SDK_DISABLED=true"}, "01", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			collector := apptest.NewCollector(t)
			p := apptest.Start(t, apptest.Options{Env: append(collector.Env(), test.env...)})
			ada := p.Join(t, "talk", "ada")
			ada.Send(t, apptest.Message{Type: "message", Text: "hello", TraceParent: traceparent(frameTrace, test.flags)})
			ada.UntilText(t, "hello")
			operations := p.Metrics(t)[`traceroom_operation_duration_seconds_count{operation="receive",outcome="ok"}`]
			p.Stop(t)
			require.EqualValues(t, 1, operations)
			require.Equal(t, test.some, len(collector.Spans()) > 0)
			if !test.some {
				require.Zero(t, collector.Requests())
			}
			exported := false
			for _, s := range collector.Spans() {
				exported = exported || s.TraceID == frameTrace
			}
			require.Equal(t, test.message, exported)
			var functions []string
			for _, l := range p.TraceLog(t) {
				if l.TraceID == frameTrace {
					functions = append(functions, l.Event+" "+l.Function)
				}
			}
			require.ElementsMatch(t, []string{
				"ENTER receive", "ENTER append", "EXIT append", "ENTER broadcast", "EXIT broadcast", "EXIT receive", "ENTER deliver", "EXIT deliver",
			}, functions)
		})
	}
}

func TestNothingIsExportedUnlessAskedFor(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	say(t, p.Join(t, "talk", "ada"), "hello")
	p.Stop(t)
	require.Len(t, strings.Split(strings.TrimSpace(p.Stderr()), "\n"), 2, "listening and draining, and no word of a collector")
}
