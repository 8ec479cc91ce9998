package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// A message is posted into a room with a member on each transport, one of which sends trace context of its own.
func TestAPostIsOneTraceFromTheRequestToTheLastDelivery(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	ada, room := register(t, p, "ada"), chatroom(t, p, "Readers")
	d := stockclient.Start(t)
	p.Join(t, room, "web")
	for _, w := range ways {
		c, _ := open(d, p, w)
		join(t, c, w.name, room)
		defer c.Disconnect()
	}
	body := fmt.Sprintf(`{"message_text":%q,"user_id":%q,"chatroom_id":%q}`, secret, ada, room)
	res := p.Do(t, "POST", "/messages/", []byte(body), "Content-Type", "application/json", "traceparent", traceparent(clientTrace, "01"))
	var m posted
	res.JSON(t, &m)
	ofMessage := attrs{"messaging.message.id": m.ID}
	collector.Wait(t, "the delivery", func(s apptest.Span) bool { return s.Name == "deliver room/{room}" && has(s, ofMessage) })
	collector.Wait(t, "the request", func(s apptest.Span) bool { return s.Name == "POST /messages" })

	spans := collector.Spans()
	byID := map[string]apptest.Span{}
	ofTrace := 0
	for _, s := range spans {
		byID[s.ID] = s
		if s.TraceID == clientTrace {
			ofTrace++
		}
	}
	for _, want := range []struct {
		name   string
		kind   tracepb.Span_SpanKind
		parent string // "client": the client's own span
		attrs  attrs
	}{
		{"POST /messages", kindServer, "client", attrs{"http.request.method": "POST", "http.response.status_code": int64(201), "http.route": "/messages"}},
		{"receive room/{room}", kindConsumer, "POST /messages", attrs{"traceroom.event": "message", "messaging.client.id": ada, "messaging.message.body.size": int64(len(secret))}},
		{"append", kindClient, "receive room/{room}", attrs{"traceroom.room.seq": int64(1)}},
		{"broadcast room/{room}", kindProducer, "receive room/{room}", attrs{"traceroom.event": "message"}},
		{"deliver room/{room}", kindInternal, "broadcast room/{room}", attrs{"traceroom.recipients": int64(4), "traceroom.written": int64(4), "traceroom.dropped": int64(0)}},
	} {
		identity := attrs{"messaging.message.id": m.ID, "messaging.destination.name": room}
		if want.parent == "client" {
			identity = nil
		}
		s := find(t, spans, want.name, identity)
		require.True(t, has(s, want.attrs), "%s %v", want.name, s.Attrs)
		require.Equal(t, want.kind, s.Kind)
		require.Equal(t, clientTrace, s.TraceID)
		if want.parent == "client" {
			require.Equal(t, clientSpan, s.ParentID)
		} else {
			require.Equal(t, want.parent, byID[s.ParentID].Name)
		}
		require.False(t, s.Failed)
		require.NotContains(t, fmt.Sprint(s), secret)
	}
	require.Equal(t, 5, ofTrace, "one delivery, however many members on whatever transports")
	p.Stop(t)
	var functions []string
	for _, l := range p.TraceLog(t) {
		if l.TraceID == clientTrace && l.Event == "ENTER" {
			functions = append(functions, l.Module+"."+l.Function)
		}
	}
	require.ElementsMatch(t, []string{"http.POST /messages", "rooms.receive", "store.append", "rooms.broadcast", "rooms.deliver"}, functions)
	requireSound(t, p)
}

func TestEverySocketIOOperationIsTraced(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	d := stockclient.Start(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			room := "traced-" + w.name
			web := p.Join(t, room, "web")
			connectTrace := strings.Replace(clientTrace, "0af7", map[string]string{"polling": "aaaa", "websocket": "bbbb", "upgrade": "cccc"}[w.name], 1)
			joinTrace := strings.Replace(frameTrace, "1bf7", connectTrace[:4], 1)
			w.options = w.with(stockclient.Options{"extraHeaders": obj{"traceparent": traceparent(connectTrace, "01")}})
			c, _ := open(d, p, w)
			c.Emit("join", obj{"user_id": "ada", "chatroom_id": room, "traceparent": traceparent(joinTrace, "01"), "tracestate": "vendor=1"})
			hears(t, c, "joined", fmt.Sprintf(`{"chatroom_id":%q}`, room))
			leave(t, c, "ada", room)
			join(t, c, "bob", room)
			c.Emit("join", obj{"user_id": "bob", "chatroom_id": "a b"})
			name, _ := hear(t, c)
			require.Equal(t, "error", name)
			c.Disconnect()
			for range 2 {
				web.UntilType(t, "user_left")
			}
			connected := collector.Wait(t, "the connect span", func(s apptest.Span) bool { return s.Kind == kindServer && s.TraceID == connectTrace })
			id := connected.Attrs["traceroom.connection.id"]
			require.NotEmpty(t, id)
			status := int64(200)
			if w.name == "websocket" {
				status = 101
			}
			rows := []struct {
				name   string
				attrs  attrs
				kind   tracepb.Span_SpanKind
				parent string // name of the parent span; empty if there is none; "client" for the client's own span
				trace  string // the trace that it is in; empty if any
				linked bool   // to the connect span
			}{
				{"GET /socket.io/", attrs{"http.request.method": "GET", "http.response.status_code": status, "url.path": "/socket.io/", "http.route": "/socket.io/"}, kindServer, "client", connectTrace, false},
				{"join room/{room}", attrs{"messaging.client.id": "ada"}, kindInternal, "client", joinTrace, true},
				{"broadcast room/{room}", attrs{"traceroom.event": "user_joined", "messaging.client.id": "ada"}, kindProducer, "join room/{room}", joinTrace, false},
				{"deliver room/{room}", attrs{"traceroom.event": "user_joined", "messaging.client.id": "ada", "traceroom.recipients": int64(1), "traceroom.written": int64(1)}, kindInternal, "broadcast room/{room}", joinTrace, false},
				{"leave room/{room}", attrs{"messaging.client.id": "ada"}, kindInternal, "", "", true},
				{"broadcast room/{room}", attrs{"traceroom.event": "user_left", "messaging.client.id": "ada"}, kindProducer, "leave room/{room}", "", false},
				{"deliver room/{room}", attrs{"traceroom.event": "user_left", "messaging.client.id": "ada"}, kindInternal, "broadcast room/{room}", "", false},
				{"join room/{room}", attrs{"messaging.client.id": "bob", "messaging.destination.name": room}, kindInternal, "", "", true},
				{"broadcast room/{room}", attrs{"traceroom.event": "user_joined", "messaging.client.id": "bob"}, kindProducer, "join room/{room}", "", false},
				{"deliver room/{room}", attrs{"traceroom.event": "user_joined", "messaging.client.id": "bob"}, kindInternal, "broadcast room/{room}", "", false},
				{"join room/{room}", attrs{"messaging.destination.name": "a b", "error.type": "invalid"}, kindInternal, "", "", true},
				{"leave room/{room}", attrs{"messaging.client.id": "bob"}, kindInternal, "", "", true},
				{"broadcast room/{room}", attrs{"traceroom.event": "user_left", "messaging.client.id": "bob"}, kindProducer, "leave room/{room}", "", false},
				{"deliver room/{room}", attrs{"traceroom.event": "user_left", "messaging.client.id": "bob"}, kindInternal, "broadcast room/{room}", "", false},
				{"disconnect", attrs{"traceroom.close.reason": "client namespace disconnect"}, kindInternal, "", "", true},
			}
			byID := map[string]apptest.Span{}
			var spans []apptest.Span
			apptest.Eventually(t, "all spans are exported", func() bool {
				spans = collector.Spans()
				mine := 0
				for _, s := range spans {
					byID[s.ID] = s
					if s.Attrs["traceroom.connection.id"] == id {
						mine++
					}
				}
				require.LessOrEqual(t, mine, len(rows), "polls and the upgrade are no operations of their own")
				return mine == len(rows)
			})
			for _, want := range rows {
				all := ofConnection(want.name, id, "socket.io")
				for k, v := range want.attrs {
					all[k] = v
				}
				s := find(t, spans, want.name, all)
				require.Equal(t, want.kind, s.Kind)
				switch want.parent {
				case "":
					require.Empty(t, s.ParentID)
					require.NotEqual(t, connectTrace, s.TraceID, "a trace of its own")
				case "client":
					require.Equal(t, clientSpan, s.ParentID)
				default:
					require.Equal(t, want.parent, byID[s.ParentID].Name)
					require.Equal(t, s.TraceID, byID[s.ParentID].TraceID)
				}
				if want.trace != "" {
					require.Equal(t, want.trace, s.TraceID)
				}
				var links []apptest.Link
				if want.linked {
					links = []apptest.Link{{TraceID: connected.TraceID, SpanID: connected.ID}}
				}
				require.Equal(t, links, s.Links, want.name)
				require.Equal(t, want.attrs["error.type"] != nil, s.Failed)
			}
		})
	}
	for series := range p.Metrics(t) {
		if strings.HasPrefix(series, "http_") {
			require.NotContains(t, series, "socket.io", "a connection is no request to time")
		}
	}
	p.Stop(t)
	requireSound(t, p)
}

func TestMetricsTellOfSocketIO(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	d := stockclient.Start(t)
	ada := register(t, p, "ada")
	web := p.Join(t, "general", "web")
	var members []*stockclient.Client
	for _, w := range ways {
		c, _ := open(d, p, w)
		join(t, c, w.name, "general")
		join(t, c, w.name, "random")
		members = append(members, c)
	}
	for range 3 {
		m := post(t, p, obj{"message_text": "hello", "user_id": ada, "chatroom_id": "general"})
		for _, c := range members {
			require.JSONEq(t, m.Raw, hearsAtLast(t, c, "new_message"))
		}
	}
	say(t, web, "hello")
	members[0].Disconnect()
	want := map[string]float64{
		`traceroom_connections{transport="socket.io"}`:    2,
		`traceroom_connections{transport="websocket"}`:    1,
		"traceroom_members":                               2*2 + 1,
		`traceroom_messages_total{transport="http"}`:      3,
		`traceroom_messages_total{transport="websocket"}`: 1,
		`traceroom_messages_total{transport="socket.io"}`: 0,
		// Three members get four messages. In each of two rooms the first gets that the second joins, and both that the third does;
		// when the first leaves, the two others get that, twice.
		`traceroom_deliveries_total{transport="socket.io"}`:                                       4*3 + 2*(1+2) + 2*2,
		`traceroom_deliveries_total{transport="websocket"}`:                                       4 + 3 + 1,
		`traceroom_delivery_latency_seconds_count{transport="socket.io"}`:                         4,
		`traceroom_dropped_total{reason="slow"}`:                                                  0,
		`traceroom_dropped_total{reason="closed"}`:                                                0,
		`traceroom_disconnects_total{reason="client_namespace_disconnect",transport="socket.io"}`: 1,
		`traceroom_operation_duration_seconds_count{operation="connect",outcome="ok"}`:            4,
		`traceroom_operation_duration_seconds_count{operation="join",outcome="ok"}`:               7,
		`traceroom_operation_duration_seconds_count{operation="leave",outcome="ok"}`:              2,
		`traceroom_operation_duration_seconds_count{operation="disconnect",outcome="ok"}`:         1,
		`traceroom_operation_duration_seconds_count{operation="receive",outcome="ok"}`:            4,
		`traceroom_operation_duration_seconds_count{operation="create_user",outcome="ok"}`:        1,
	}
	var differs string
	defer func() {
		if t.Failed() {
			t.Log(differs)
		}
	}()
	apptest.Eventually(t, "all is counted", func() bool {
		got := p.Metrics(t)
		for series, value := range want {
			if got[series] != value {
				differs = fmt.Sprintf("%s is %v and should be %v", series, got[series], value)
				return false
			}
		}
		return true
	})
	require.EqualValues(t, 3, requests(p.Metrics(t), "/messages"))
	p.Stop(t)
	p.Restart(t)
	// The two that were disconnected reconnect by themselves.
	apptest.Eventually(t, "they are back", func() bool { return p.Metrics(t)[`traceroom_connections{transport="socket.io"}`] == 2 })
}
