package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/traceroom/traceroom/app/apptest"
)

// Attributes that OpenTelemetry's semantic conventions (1.43) require, and those that they recommend and this server can set.
var (
	ofServers   = []string{"http.request.method", "url.path", "url.scheme", "http.route", "http.response.status_code", "network.protocol.version", "client.address", "network.peer.address", "network.peer.port", "user_agent.original"}
	ofMessaging = []string{"messaging.system", "messaging.operation.name", "messaging.operation.type", "messaging.destination.name", "messaging.destination.template"}
	ofDatabases = []string{"db.system.name", "db.operation.name"}
	ofRooms     = []string{"messaging.destination.name", "messaging.destination.template"}
)

// shape is the kind of a span and the attributes that it must have.
type shape struct {
	kind     tracepb.Span_SpanKind
	required []string
}

// shapes has every operation, by the name of its span.
var shapes = map[string]shape{
	"GET /ws/{room_id}/{client_id}": {kindServer, ofServers},
	"GET /socket.io/":               {kindServer, ofServers},
	"receive room/{room}":           {kindConsumer, ofMessaging},
	"broadcast room/{room}":         {kindProducer, ofMessaging},
	"relay room/{room}":             {kindConsumer, ofMessaging},
	"append":                        {kindClient, append([]string{"db.collection.name"}, ofDatabases...)},
	"deliver room/{room}":           {kindInternal, ofRooms},
	"join room/{room}":              {kindInternal, ofRooms},
	"leave room/{room}":             {kindInternal, ofRooms},
	"disconnect":                    {kindInternal, nil},
	"create room":                   {kindInternal, []string{"messaging.destination.name"}},
	"list rooms":                    {kindInternal, nil},
	"get room":                      {kindInternal, []string{"messaging.destination.name"}},
	"delete room":                   {kindInternal, []string{"messaging.destination.name"}},
	"list messages":                 {kindInternal, []string{"messaging.destination.name"}},
	"get message":                   {kindInternal, []string{"messaging.message.id"}},
	"delete message":                {kindInternal, []string{"messaging.message.id"}},
	"create user":                   {kindInternal, nil},
	"get user":                      {kindInternal, nil},
	"delete user":                   {kindInternal, nil},
	"list users":                    {kindInternal, nil},
	"start":                         {kindInternal, nil},
	"drain":                         {kindInternal, nil},
}

// requireConventions checks every span, and that all names but those given were seen.
func requireConventions(t *testing.T, spans []apptest.Span, unseen ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range spans {
		what := shape{kindServer, ofServers}
		switch s.Scope.Name {
		case "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp":
			require.NotContains(t, s.Attrs, "messaging.system", s.Name)
		case "github.com/jackc/pgx/v5":
			what = shape{kindClient, append([]string{"db.query.summary"}, ofDatabases...)}
		default:
			var known bool
			what, known = shapes[s.Name]
			require.True(t, known, "%s is not in the table", s.Name)
			seen[s.Name] = true
			require.Contains(t, s.Scope.SchemaURL, "https://opentelemetry.io/schemas/", "%s: %s", s.Name, s.Scope.Name)
		}
		require.NotEmpty(t, s.Scope.Version, "%s: %s", s.Name, s.Scope.Name)
		require.NotEmpty(t, s.Resource["ip"])
		require.Equal(t, what.kind, s.Kind, s.Name)
		for _, key := range what.required {
			require.Contains(t, s.Attrs, key, s.Name)
		}
		if s.Failed {
			require.NotEmpty(t, s.Attrs["error.type"], s.Name)
		}
		for key, value := range s.Attrs {
			require.False(t, strings.HasPrefix(key, "chat."), "%s: %s", s.Name, key)
			if key != "traceroom.close.reason" { // a client may close without a reason
				require.NotEqual(t, "", value, "%s: %s", s.Name, key)
			}
		}
		if what.kind != kindProducer && what.kind != kindConsumer {
			require.NotContains(t, s.Attrs, "messaging.system", s.Name)
			require.NotContains(t, s.Attrs, "messaging.operation.name", s.Name)
		}
		if what.kind == kindServer {
			require.NotContains(t, s.Attrs, "network.protocol.name", "HTTP is the one that is not named")
		}
		if size, ok := s.Attrs["db.operation.batch.size"]; ok {
			require.Greater(t, size, int64(1), "one alone is no batch")
		}
	}
	for _, name := range unseen {
		seen[name] = true
	}
	for name := range shapes {
		require.True(t, seen[name], "no span is called %s", name)
	}
}

// visit does everything that makes a span, on one node or across several, and stops them.
func visit(t *testing.T, nodes ...*apptest.Program) {
	t.Helper()
	first, last := nodes[0], nodes[len(nodes)-1]
	ada, bob := first.Join(t, "visited", "ada"), last.Join(t, "visited", "bob")
	ada.UntilType(t, "user_joined")
	ada.Say(t, "hello")
	bob.UntilText(t, "hello")
	ada.Send(t, `{"type":"typing"}`)
	bob.UntilType(t, "typing")
	sio, err := last.SocketIO()
	require.NoError(t, err)
	defer sio.Close()
	require.NoError(t, sio.Emit("join", map[string]string{"user_id": "cyd", "chatroom_id": "visited"}))
	ada.UntilType(t, "user_joined")

	var user, room, message struct{ ID string }
	first.PostJSON(t, "/users", map[string]string{"name": "Ada", "handle": "ada"}).JSON(t, &user)
	first.PostJSON(t, "/chatrooms", map[string]string{"name": "Reading"}).JSON(t, &room)
	first.PostJSON(t, "/messages", map[string]string{"message_text": "posted", "user_id": user.ID, "chatroom_id": "visited"}).JSON(t, &message)
	bob.UntilText(t, "posted")
	for _, path := range []string{"/users", "/users/" + user.ID, "/rooms", "/rooms/visited", "/rooms/visited/messages", "/messages/" + message.ID} {
		require.Equal(t, http.StatusOK, first.Get(t, path).Status, path)
	}
	require.Equal(t, http.StatusNotFound, first.Get(t, "/rooms/none").Status)
	require.Equal(t, http.StatusOK, first.Do(t, http.MethodDelete, "/messages/"+message.ID, nil).Status)
	require.Equal(t, http.StatusOK, first.Do(t, http.MethodDelete, "/rooms/"+room.ID, nil).Status)
	require.Equal(t, http.StatusOK, first.Do(t, http.MethodDelete, "/users/"+user.ID, nil).Status)
	require.NoError(t, sio.Emit("leave", map[string]string{"user_id": "cyd", "chatroom_id": "visited"}))
	ada.UntilType(t, "user_left")
	bob.Leave(t)
	ada.UntilType(t, "user_left")
	for _, p := range nodes {
		p.Stop(t)
	}
}

func TestSpansFollowTheSemanticConventions(t *testing.T) {
	collector := apptest.NewCollector(t)
	visit(t, apptest.Start(t, apptest.Options{Env: collector.Env()}))
	spans := collector.Spans()
	requireConventions(t, spans, "relay room/{room}")
	require.Equal(t, "sqlite", find(t, spans, "append", attrs{"traceroom.room.seq": int64(1)}).Attrs["db.system.name"])
	systems := map[any]bool{}
	for _, s := range spans {
		if s.Name == "receive room/{room}" {
			systems[s.Attrs["messaging.system"]] = true
		}
	}
	require.Equal(t, map[any]bool{"websocket": true, "http": true}, systems)
}

func TestSpansOfSeveralNodesFollowTheSemanticConventions(t *testing.T) {
	collector := apptest.NewCollector(t)
	c := startCluster(t, 2, collector.Env()...)
	visit(t, c.nodes...)
	requireConventions(t, collector.Spans())
}

// Who connected, and with what, is on the connection's span and in its line of the trace log.
func TestAConnectionSaysWhoConnectedWithWhat(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env()})
	p.Connect(t, apptest.Dial{Room: "talk", Client: "ada", Header: http.Header{"User-Agent": {"a browser/1.0"}}}).Leave(t)
	p.Stop(t)
	s := find(t, collector.Spans(), "GET /ws/{room_id}/{client_id}", nil)
	for key, want := range map[string]any{
		"user_agent.original": "a browser/1.0", "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1", "network.protocol.version": "1.1",
	} {
		require.Equal(t, want, s.Attrs[key], key)
	}
	require.NotZero(t, s.Attrs["network.peer.port"])
}

// Whatever strangers send, it makes no new series, span names or functions of the trace log.
func TestStrangersMakeNoSeriesAndNoNames(t *testing.T) {
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env(), Args: []string{"--trace-probes"}})
	ask := func(n int) {
		for _, path := range []string{"/", "/rooms", "/rooms/none", "/messages", fmt.Sprint("/nothing", n), fmt.Sprintf("/rooms/r%d/messages", n), "/health"} {
			for _, method := range []string{"GET", "POST", "DELETE", fmt.Sprint("METHOD", n)} {
				req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, nil)
				require.NoError(t, err)
				req.Host = fmt.Sprintf("host%d.%s.example:%d", n, strings.Repeat("x", 200), 1000+n)
				req.Header.Set("User-Agent", fmt.Sprint("agent ", n))
				res, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
			}
		}
	}
	names := func() (spans map[string]bool) {
		spans = map[string]bool{}
		for _, s := range collector.Spans() {
			spans[s.Name] = true
		}
		return spans
	}
	ask(0)
	p.Metrics(t) // is itself a request
	before := len(p.Metrics(t))
	for n := range 30 {
		ask(n + 1)
	}
	require.Equal(t, before, len(p.Metrics(t)), "series")
	for _, form := range []string{"text/plain", "application/openmetrics-text; version=1.0.0"} {
		require.NotContains(t, p.Get(t, "/metrics", "Accept", form).Body, ".example", form)
	}
	p.Stop(t)
	require.NotContains(t, p.Stdout()+p.Stderr(), "exemplar", "the program's log complains of what strangers say")
	functions := map[string]bool{}
	for _, c := range pair(t, p.TraceLog(t)) {
		functions[c.enter.Function] = true
		require.NotContains(t, c.enter.Function, "METHOD")
	}
	require.Contains(t, names(), "HTTP")
	require.Less(t, len(names()), 40)
	require.Less(t, len(functions), 40)
	for name := range names() {
		require.NotRegexp(t, "METHOD|nothing|example", name)
	}
}

// Health checks are not traced unless --trace-probes is set.
func TestProbesAreNotTraced(t *testing.T) {
	for _, traced := range []bool{false, true} {
		p := apptest.Start(t, apptest.Options{Args: []string{fmt.Sprintf("--trace-probes=%t", traced)}})
		for _, path := range []string{"/health", "/readyz", "/metrics", "/health/", "/rooms"} {
			require.Equal(t, http.StatusOK, p.Get(t, path).Status)
		}
		p.Stop(t)
		functions := map[string]int{}
		for _, c := range pair(t, p.TraceLog(t)) {
			functions[c.enter.Function]++
		}
		require.Equal(t, 1, functions["GET /rooms"])
		require.Equal(t, traced, functions["GET /health"] > 0, functions)
		require.Equal(t, traced, functions["GET /metrics"] > 0, functions)
	}
}
