package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
	"github.com/traceroom/traceroom/tracing"
	"github.com/traceroom/traceroom/web/docs"
	"github.com/traceroom/traceroom/web/page"
	"github.com/traceroom/traceroom/web/page/browsertest"
	"github.com/traceroom/traceroom/web/ws"
)

// documented is a server whose documentation is looked at.
type documented struct {
	*Server
	url       string
	telemetry *tracing.Telemetry
}

// serveDocumented starts a server on a store of its own; service, if not nil, makes what it asks instead of the rooms.
func serveDocumented(t *testing.T, limits Limits, most int, service func(rooms.Service) rooms.Service) documented {
	t.Helper()
	ctx := t.Context()
	db, err := store.Open(ctx, "sqlite://:memory:", store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	hub, err := rooms.NewHub(ctx, rooms.Config{Store: db, Relay: &relay.Local{}, Limits: rooms.Limits{Rooms: most}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, hub.Close(context.Background())) })
	_, _, err = hub.CreateRoom(ctx, "general", "General")
	require.NoError(t, err)
	var asked rooms.Service = hub
	if service != nil {
		asked = service(hub)
	}
	telemetry, err := tracing.New(ctx, tracing.Config{ServiceName: "traceroom", LiveTraces: 100, Log: zap.NewNop(), Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	s := New(Config{
		Traces: telemetry.Live(), Connecting: telemetry.Connecting, Disconnected: telemetry.Disconnected,
		Service: telemetry.Service(asked), Page: page.Handler(page.Config{Refuse: Refuse}), Log: zap.NewNop(), Version: "1.2.3", Limits: limits,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "up 1\n")
		}),
	})
	s.Ready(true)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		telemetry.Live().EndViews()
		s.Drain(context.Background())
		server.Close()
		s.Close()
	})
	return documented{s, server.URL, telemetry}
}

func (d documented) get(t *testing.T, path string) string {
	t.Helper()
	r, err := http.Get(d.url + path)
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode, "%s: %s", path, body)
	return string(body)
}

// openAPI is the document that the server serves, read by another library than made it.
func (d documented) openAPI(t *testing.T, path string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(d.get(t, path)))
	require.NoError(t, err)
	return doc
}

func TestEveryRouteIsDocumented(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	doc, read := d.openAPI(t, "/openapi.json"), d.get(t, "/docs")
	require.Greater(t, len(d.mux.patterns), 20)
	for _, pattern := range d.mux.patterns {
		method, path, ok := strings.Cut(pattern, " ")
		if !ok {
			method, path = http.MethodGet, pattern
		}
		if pattern == "/" {
			continue // what is nothing else, and answers 404
		}
		item := doc.Paths.Value(path)
		require.NotNil(t, item, "%s is not in /openapi.json", pattern)
		require.NotNil(t, item.GetOperation(method), "%s is not in /openapi.json", pattern)
		require.Contains(t, read, fmt.Sprintf(`<span class="method %s">%s</span> <code>%s</code>`, method, method, path), "in /docs")
	}
}

func TestOpenAPIDocumentIsValid(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	for _, path := range []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json"} {
		doc := d.openAPI(t, path)
		require.NoError(t, doc.Validate(t.Context()), path)
		require.Equal(t, "1.2.3", doc.Info.Version)
	}
	doc := d.openAPI(t, "/openapi.json")
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		require.NotEmpty(t, tag.Description, tag.Name)
		tags[tag.Name] = true
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			where := method + " " + path
			require.NotEmpty(t, op.Summary, where)
			require.NotEmpty(t, op.OperationID, where)
			require.Len(t, op.Tags, 1, where)
			require.True(t, tags[op.Tags[0]], "%s: tag %s has no description", where, op.Tags[0])
			for _, p := range op.Parameters {
				if p.Value.In != "header" {
					require.NotEmpty(t, p.Value.Description, "%s: %s", where, p.Value.Name)
				}
			}
			for status, r := range op.Responses.Map() {
				require.NotEmpty(t, *r.Value.Description, "%s: %s", where, status)
				for kind, m := range r.Value.Content {
					if kind == "application/problem+json" {
						require.Equal(t, "#/components/schemas/Problem", m.Schema.Ref, where)
						require.NotNil(t, m.Example, "%s: %s", where, status)
					}
				}
			}
		}
	}
	for name, s := range doc.Components.Schemas {
		for field, p := range s.Value.Properties {
			require.NotEmpty(t, p.Value.Description, "%s.%s", name, field)
		}
	}
}

// brokenRooms cannot reach their store.
type brokenRooms struct{ rooms.Service }

var errBroken = errors.New("the disk is full")

func (brokenRooms) CreateRoom(context.Context, string, string) (rooms.Room, bool, error) {
	return rooms.Room{}, false, errBroken
}
func (brokenRooms) Room(context.Context, string) (rooms.Room, error) { return rooms.Room{}, errBroken }
func (brokenRooms) Rooms(context.Context) ([]rooms.Room, error)      { return nil, errBroken }
func (brokenRooms) DeleteRoom(context.Context, string) error         { return errBroken }
func (brokenRooms) Messages(context.Context, string, rooms.Query) (rooms.Page, error) {
	return rooms.Page{}, errBroken
}
func (brokenRooms) Message(context.Context, string) (*rooms.Message, error) { return nil, errBroken }
func (brokenRooms) DeleteMessage(context.Context, string) error             { return errBroken }
func (brokenRooms) PostMessage(context.Context, rooms.Post) (*rooms.Message, bool, error) {
	return nil, false, errBroken
}
func (brokenRooms) CreateUser(context.Context, string, string) (rooms.User, error) {
	return rooms.User{}, errBroken
}
func (brokenRooms) User(context.Context, string) (rooms.User, error) { return rooms.User{}, errBroken }
func (brokenRooms) Users(context.Context) ([]rooms.User, error)      { return nil, errBroken }
func (brokenRooms) DeleteUser(context.Context, string) error         { return errBroken }
func (brokenRooms) Ping(context.Context) error                       { return errBroken }

// Every answer that is documented is one that the server gives, and looks as documented; and the other way round.
func TestAnswersAreThoseDocumented(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 4, nil)
	broken := serveDocumented(t, Limits{}, 4, func(s rooms.Service) rooms.Service { return brokenRooms{s} })
	doc := d.openAPI(t, "/openapi.json")

	want := map[string]bool{}
	operations := map[string]*routers.Route{}
	for path, item := range doc.Paths.Map() {
		if path == "/socket.io/" {
			continue // The package that serves it holds it to its protocol.
		}
		for method, op := range item.Operations() {
			operations[op.OperationID] = &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: op}
			for status := range op.Responses.Map() {
				want[op.OperationID+" "+status] = true
			}
		}
	}
	got := map[string]bool{}
	send := func(d documented, id, query string, path map[string]string, body string, header ...string) []byte {
		t.Helper()
		route := operations[id]
		require.NotNil(t, route, id)
		target := route.Path
		for name, value := range path {
			target = strings.ReplaceAll(target, "{"+name+"}", value)
		}
		r, err := http.NewRequestWithContext(t.Context(), route.Method, d.url+target+query, strings.NewReader(body))
		require.NoError(t, err)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		got[id+" "+strconv.Itoa(answer.StatusCode)] = true
		if answer.StatusCode == http.StatusSwitchingProtocols {
			return nil
		}
		content, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: path, Route: route},
			Status:                 answer.StatusCode, Header: answer.Header, Body: io.NopCloser(strings.NewReader(string(content))),
			Options: &openapi3filter.Options{
				IncludeResponseStatus: true,
				ExcludeResponseBody:   !strings.Contains(answer.Header.Get("Content-Type"), "json"),
			},
		}), "%s: %s", id, content)
		return content
	}
	id := func(content []byte) string {
		t.Helper()
		var body struct{ ID string }
		require.NoError(t, json.Unmarshal(content, &body))
		require.NotEmpty(t, body.ID)
		return body.ID
	}
	at := func(name, value string) map[string]string { return map[string]string{name: value} }
	const notAnID = "not%20an%20id"

	for _, name := range []string{"page", "docs", "openapi", "openapi-yaml", "openapi-3-0", "asyncapi", "metrics"} {
		send(d, name, "", nil, "")
	}
	// What every call with a body may be answered.
	for _, name := range []string{"create-room", "create-user", "create-chatroom", "post-message"} {
		send(d, name, "", nil, `{"name":`)
		send(d, name, "", nil, `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
		send(d, name, "", nil, `name: yaml`, "Content-Type", "application/yaml")
		send(d, name, "", nil, `{}`)
	}
	user := id(send(d, "create-user", "", nil, `{"name":"Ada Lovelace","handle":"ada"}`))
	send(d, "create-user", "", nil, `{"name":"Ada","handle":"ada"}`)
	send(d, "create-room", "?room_id=test&name=Test%20Room", nil, "")
	send(d, "create-room", "", nil, `{"room_id":"test"}`)
	chatroom := id(send(d, "create-chatroom", "", nil, `{"name":"Reading group"}`))
	post := fmt.Sprintf(`{"message_text":"Hello!","user_id":%q,"chatroom_id":%q`, user, chatroom)
	message := id(send(d, "post-message", "", nil, post+"}", "Idempotency-Key", "a-key"))
	require.Equal(t, message, id(send(d, "post-message", "", nil, post+"}", "Idempotency-Key", "a-key")))
	require.Contains(t, string(send(d, "post-message", "", nil, post+"}", "Idempotency-Key", strings.Repeat("k", 65))), `"field":"Idempotency-Key"`)
	send(d, "post-message", "", nil, post+fmt.Sprintf(`,"is_reply":true,"parent_message_id":%q}`, message))
	send(d, "post-message", "", nil, `{"message_text":"Hello!","user_id":"nobody","chatroom_id":"general"}`)
	for _, name := range []string{"list-rooms", "list-users", "list-chatrooms", "health", "readyz"} {
		send(d, name, "", nil, "")
		send(broken, name, "", nil, "")
	}
	for _, c := range []struct{ name, parameter, value string }{
		{"get-room", "room_id", "general"}, {"list-room-messages", "room_id", chatroom}, {"get-user", "id", user},
		{"get-chatroom", "id", chatroom}, {"get-message", "id", message}, {"list-chatroom-messages", "chatroom_id", chatroom},
		{"delete-message", "id", message}, {"delete-room", "room_id", "test"}, {"delete-user", "id", user}, {"delete-chatroom", "id", chatroom},
	} {
		send(d, c.name, "", at(c.parameter, c.value), "")
		send(d, c.name, "", at(c.parameter, "nothing"), "")
		send(d, c.name, "", at(c.parameter, notAnID), "")
		send(broken, c.name, "", at(c.parameter, c.value), "")
	}
	send(broken, "create-room", "?room_id=test", nil, "")
	send(broken, "create-user", "", nil, `{"name":"Ada","handle":"ada"}`)
	send(broken, "create-chatroom", "", nil, `{"name":"Reading group"}`)
	send(broken, "post-message", "", nil, `{"message_text":"Hello!","user_id":"a","chatroom_id":"general"}`)
	for i := range 4 {
		send(d, "create-room", fmt.Sprintf("?room_id=room-%d", i), nil, "")
	}
	send(d, "create-chatroom", "", nil, `{"name":"One too many"}`)
	broken.Ready(false)
	send(broken, "readyz", "", nil, "")

	member := map[string]string{"room_id": "general", "client_id": "user123"}
	shake := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	send(d, "connect-websocket", "", member, "", shake...)
	send(d, "connect-websocket", "", member, "")
	send(d, "connect-websocket", "?since=x", member, "", shake...)
	send(d, "connect-websocket", "", member, "", append([]string{"Origin", "https://elsewhere.example"}, shake...)...)
	send(broken, "connect-websocket", "", member, "", shake...)

	// What has been done here has left traces, that of the connection's end among them, which links to its beginning.
	var list struct {
		Traces []struct {
			TraceID string `json:"trace_id"`
		}
	}
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal(send(d, "list-traces", "?operation=disconnect", nil, ""), &list))
		return len(list.Traces) > 0
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, json.Unmarshal(send(d, "list-traces", "?errors=false&limit=1000", nil, ""), &list))
	links, linked := 0, 0
	for _, one := range list.Traces {
		var trace struct {
			Spans      []struct{ Links []any }
			LinkedFrom []any `json:"linked_from"`
		}
		require.NoError(t, json.Unmarshal(send(d, "get-trace", "", at("trace_id", one.TraceID), ""), &trace))
		linked += len(trace.LinkedFrom)
		for _, span := range trace.Spans {
			links += len(span.Links)
		}
		send(d, "export-trace", "", at("trace_id", one.TraceID), "")
	}
	require.Positive(t, links)
	require.Positive(t, linked)
	for _, name := range []string{"get-trace", "export-trace"} {
		send(d, name, "", at("trace_id", strings.Repeat("0", 32)), "")
		send(d, name, "", at("trace_id", "x"), "")
	}
	for _, name := range []string{"list-traces", "watch-traces"} {
		send(d, name, "?min=soon", nil, "")
	}
	broken.telemetry.Live().EndViews()
	require.Contains(t, string(send(broken, "watch-traces", "", nil, "")), "event: bye")
	watching, leave := context.WithCancel(t.Context())
	for range 32 {
		r, err := http.NewRequestWithContext(watching, http.MethodGet, d.url+"/traces/live", nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		require.Equal(t, http.StatusOK, answer.StatusCode)
	}
	send(d, "watch-traces", "", nil, "")
	leave()

	for answer := range want {
		if !got[answer] {
			t.Errorf("%s is documented, and was not answered", answer)
		}
	}
	for answer := range got {
		if !want[answer] {
			t.Errorf("%s was answered, and is not documented", answer)
		}
	}
}

// commands are the curl commands of a page: quoted arguments, and words between them.
var (
	commands  = regexp.MustCompile(`(?s)<pre><code>(curl .*?)</code></pre>`)
	arguments = regexp.MustCompile(`'([^']*)'|([^\s'\\]+)`)
)

func TestCommandsInDocsAreUnderstood(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	d.telemetry.Live().EndViews() // a stream would have no end
	found := commands.FindAllStringSubmatch(d.get(t, "/docs"), -1)
	require.Greater(t, len(found), 20)
	for _, c := range found {
		command := html.UnescapeString(c[1])
		if strings.Contains(command, "/socket.io/") {
			continue // needs a session
		}
		method, target, body, header := http.MethodGet, "", "", http.Header{}
		words := arguments.FindAllStringSubmatch(strings.TrimPrefix(command, "curl "), -1)
		for i := 0; i < len(words); i++ {
			switch words[i][2] {
			case "-X":
				i++
				method = words[i][2]
			case "-H":
				i++
				name, value, ok := strings.Cut(words[i][1], ": ")
				require.True(t, ok, command)
				header.Set(name, value)
			case "-d":
				i++
				method, body = http.MethodPost, words[i][1]
			default:
				target = words[i][1]
			}
		}
		require.True(t, strings.HasPrefix(target, d.url+"/"), command)
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		require.NoError(t, err)
		r.Header = header
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		content := ""
		if answer.StatusCode != http.StatusSwitchingProtocols {
			b, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			content = string(b)
		}
		require.NoError(t, answer.Body.Close())
		if answer.StatusCode == http.StatusNotFound {
			// The ids of the examples; that the call is there shows in what is missing.
			require.NotContains(t, content, "there is nothing at", command)
			continue
		}
		require.Less(t, answer.StatusCode, http.StatusBadRequest, "%s\n%s", command, content)
	}
}

// loads finds what a page would load or lead to.
var loads = regexp.MustCompile(`(?i)(?:src|href|action|srcset|poster|data)="([^"]*)"|url\(([^)]*)\)|@import\s+(\S+)`)

func TestDocsAskForNothingFromElsewhere(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	r, err := http.Get(d.url + "/docs/")
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-")
	require.NotContains(t, string(body), "<script")
	require.NotContains(t, string(body), "style=")
	links := loads.FindAllStringSubmatch(string(body), -1)
	require.Greater(t, len(links), 50)
	anchors := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(string(body), -1) {
		require.False(t, anchors[id[1]], "two have the id %s", id[1])
		anchors[id[1]] = true
	}
	for _, link := range links {
		switch target := link[1] + link[2] + link[3]; {
		case strings.HasPrefix(target, "#"):
			require.True(t, anchors[target[1:]], "%s leads nowhere", target)
		case strings.HasPrefix(target, "//"), !strings.HasPrefix(target, "/"):
			t.Errorf("the page refers to %s", target)
		default:
			d.get(t, target)
		}
	}
}

// A Host header must not get into the commands that people copy into a shell.
func TestDocsTakeNoCommandsFromTheHostHeader(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	for host, want := range map[string]string{
		"chat.example:8443": "curl &#39;http://chat.example:8443/rooms&#39;",
		"[::1]:8000":        "curl &#39;http://[::1]:8000/rooms&#39;",
		"x';reboot;'":       "curl &#39;http://localhost:8000/rooms&#39;",
		"x$(reboot)":        "curl &#39;http://localhost:8000/rooms&#39;",
	} {
		r := httptest.NewRequest(http.MethodGet, "/docs", nil)
		r.Host = host
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), want)
		require.NotContains(t, w.Body.String(), "reboot")
	}
}

func TestDocsInABrowser(t *testing.T) {
	d := serveDocumented(t, DefaultLimits, 100, nil)
	tab := browsertest.NewTab(t, browsertest.Start(t), d.url)
	for _, width := range []int{1440, 1000, 390, 320} {
		for _, scheme := range []string{"light", "dark"} {
			tab.Resize(width, 844, 1)
			tab.Prefer("prefers-color-scheme", scheme)
			tab.Open("/docs")
			tab.WaitText("h1", "Traceroom API")
			require.Equal(t, "none", browsertest.Eval[string](tab, "getComputedStyle(document.querySelector('ul')).listStyleType"), "styled")
			wide := browsertest.Eval[int](tab, "document.documentElement.scrollWidth")
			require.LessOrEqual(t, wide, width, "the page needs to be scrolled sideways")
			faint := browsertest.Eval[[]string](tab, faintText)
			require.Empty(t, faint, "contrast below 4.5 at %d in %s", width, scheme)
		}
	}
	loaded := browsertest.Eval[[]string](tab, "performance.getEntriesByType('resource').map((e) => new URL(e.name).pathname)")
	for _, path := range loaded {
		require.Equal(t, "/page/favicon.svg", path)
	}
	tab.Click(`a[href="#room"]`)
	tab.Wait("location.hash === '#room' && Math.abs(document.querySelector('#room').getBoundingClientRect().top) < 120")
}

// faintText lists the texts whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
const faintText = `(() => {
	const parse = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
	const light = ([r, g, b]) => {
		const f = (v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
		return .2126 * f(r) + .7152 * f(g) + .0722 * f(b);
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = parse(getComputedStyle(e).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const found = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const e = walker.currentNode.parentElement;
		const style = getComputedStyle(e);
		if (!walker.currentNode.data.trim() || style.visibility === 'hidden' || style.opacity === '0' || parseFloat(style.fontSize) === 0) continue;
		const a = light(parse(style.color)), b = light(behind(e));
		const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (contrast < 4.5) found.add(e.tagName + '.' + e.className + ' ' + contrast.toFixed(2));
	}
	return [...found];
})()`

// contract is what the AsyncAPI document says of messages.
type contract struct {
	compiler *jsonschema.Compiler
	doc      map[string]any
}

func readContract(t *testing.T) contract {
	t.Helper()
	var parsed any
	require.NoError(t, yaml.Unmarshal(docs.AsyncAPI(), &parsed))
	plain, err := json.Marshal(parsed)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	require.NoError(t, c.AddResource("asyncapi.json", doc))
	return contract{c, doc.(map[string]any)}
}

// at is what is at a path of names in the document, with references followed.
func (c contract) at(t *testing.T, path ...string) any {
	t.Helper()
	var v any = c.doc
	for _, name := range path {
		v = v.(map[string]any)[name]
		if m, ok := v.(map[string]any); ok && m["$ref"] != nil {
			v = c.at(t, strings.Split(strings.TrimPrefix(m["$ref"].(string), "#/"), "/")...)
		}
		require.NotNil(t, v, "%s of %s", name, path)
	}
	return v
}

// fields are a message's fields as documented: all, and those that are always there.
func (c contract) fields(t *testing.T, message string) (all, always []string) {
	t.Helper()
	payload := c.at(t, "components", "messages", message, "payload").(map[string]any)
	for _, name := range payload["required"].([]any) {
		always = append(always, name.(string))
	}
	return slices.Sorted(maps.Keys(payload["properties"].(map[string]any))), always
}

// allows fails the test unless the message may look like payload.
func (c contract) allows(t *testing.T, message string, payload any) {
	t.Helper()
	s, err := c.compiler.Compile("asyncapi.json#/components/messages/" + message + "/payload")
	require.NoError(t, err)
	require.NoError(t, s.Validate(payload), "%s: %v", message, payload)
}

// text is the JSON of a frame.
func text(t *testing.T, frame []byte) map[string]any {
	t.Helper()
	header := map[byte]int{126: 4, 127: 10}[frame[1]]
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(frame[max(header, 2):])))
	require.NoError(t, err)
	return v.(map[string]any)
}

func TestAsyncAPISaysWhatTheServerSends(t *testing.T) {
	c := readContract(t)
	full := &rooms.Message{
		ID: "017cdc9f-7d79-7c3a-8d15-e60f2b94cc33", RoomID: "general", Seq: 42, ClientID: "user123", Text: "Hello!", IsReply: true,
		ParentID: "017cdc9f-7d79-7c3a-8d15-e60f2b94cc32", CreatedAt: time.UnixMilli(1635789012345),
		Trace: rooms.TraceContext{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-b9c7c989f97918e1-01", State: "vendor=value"},
	}
	least := &rooms.Message{ID: full.ID, RoomID: "general", Seq: 1, ClientID: "user123", Text: "x", CreatedAt: full.CreatedAt}
	event := func(kind rooms.EventKind, ref string, fill func(*rooms.Event)) []byte {
		ev := &rooms.Event{Kind: kind, RoomID: "general"}
		if fill != nil {
			fill(ev)
		}
		return wire{}.Append(nil, ev, ref)
	}
	about := func(ev *rooms.Event) { ev.ClientID, ev.Participants = "user456", 5 }
	seen := map[string]bool{}
	for _, said := range []struct {
		message     string
		full, least []byte
	}{
		{"message",
			event(rooms.EventMessage, "7", func(ev *rooms.Event) { ev.Message, ev.Trace = full, full.Trace }),
			event(rooms.EventMessage, "", func(ev *rooms.Event) { ev.Message = least })},
		{"history",
			event(rooms.EventHistory, "", func(ev *rooms.Event) {
				ev.History, ev.Epoch, ev.Truncated, ev.Reset, ev.More = []*rooms.Message{least, full}, "3f9a2b41.0.1", true, true, true
			}),
			event(rooms.EventHistory, "", func(ev *rooms.Event) { ev.Epoch = "3f9a2b41.0.1" })},
		{"typing", event(rooms.EventTyping, "", about), event(rooms.EventTyping, "", about)},
		{"user_joined", event(rooms.EventJoined, "", about), event(rooms.EventJoined, "", about)},
		{"user_left", event(rooms.EventLeft, "", about), event(rooms.EventLeft, "", about)},
		{"room_deleted", event(rooms.EventRoomDeleted, "", nil), event(rooms.EventRoomDeleted, "", nil)},
		{"error", appendError(nil, codeRateLimited, "too many", "7"), appendError(nil, codeRateLimited, "too many", "")},
	} {
		seen[said.message] = true
		all, always := c.fields(t, said.message)
		full, least := text(t, said.full), text(t, said.least)
		require.Equal(t, said.message, full["type"])
		require.ElementsMatch(t, all, slices.Collect(maps.Keys(full)), said.message)
		require.ElementsMatch(t, always, slices.Collect(maps.Keys(least)), said.message)
		c.allows(t, said.message, full)
		c.allows(t, said.message, least)
	}
	// A kind of event that the document does not know would be sent as something.
	for kind := rooms.EventMessage; kind.String() != rooms.EventKind(0).String(); kind++ {
		require.True(t, seen[kind.String()], "%s is not documented", kind)
	}

	posted, _ := c.fields(t, "sio_new_message")
	var fields []string
	for f := range reflect.TypeFor[postedBody]().Fields() {
		fields = append(fields, f.Tag.Get("json"))
	}
	require.ElementsMatch(t, posted, fields)
	plain, err := json.Marshal(postedOf(full))
	require.NoError(t, err)
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
	require.NoError(t, err)
	c.allows(t, "sio_new_message", v)
}

func TestAsyncAPISaysWhatTheServerTakes(t *testing.T) {
	c := readContract(t)
	all, _ := c.fields(t, "say")
	var taken []string
	for f := range reflect.TypeFor[frame]().Fields() {
		taken = append(taken, f.Tag.Get("json"))
	}
	require.ElementsMatch(t, all, taken)
	for _, name := range []string{"say", "type"} {
		for _, example := range c.at(t, "components", "messages", name, "examples").([]any) {
			p, err := json.Marshal(example.(map[string]any)["payload"])
			require.NoError(t, err)
			_, err = parseFrame(p)
			require.NoError(t, err)
		}
	}
	for path, limit := range map[string]int{
		"say/payload/properties/text/maxLength":         rooms.MaxTextLength,
		"say/payload/properties/ref/maxLength":          rooms.MaxRefLength,
		"say/payload/properties/tracestate/maxLength":   maxTrace,
		"history/payload/properties/messages/maxItems":  rooms.HistoryPart,
		"message/payload/properties/room_id/maxLength":  rooms.MaxIDLength,
		"sio_join/payload/properties/user_id/maxLength": rooms.MaxIDLength,
		"sio_say/payload/properties/text/maxLength":     rooms.MaxTextLength,
		"sio_say/payload/properties/ref/maxLength":      rooms.MaxRefLength,
	} {
		at := c.at(t, append([]string{"components", "messages"}, strings.Split(path, "/")...)...)
		require.Equal(t, strconv.Itoa(limit), fmt.Sprint(at), path)
	}
}

func TestAsyncAPIExamplesAreAllowed(t *testing.T) {
	c := readContract(t)
	count := 0
	for name := range c.doc["components"].(map[string]any)["messages"].(map[string]any) {
		for _, example := range c.at(t, "components", "messages", name, "examples").([]any) {
			c.allows(t, name, example.(map[string]any)["payload"])
			count++
		}
	}
	require.Greater(t, count, 20)
}

func TestAsyncAPIKnowsEveryErrorAndCloseCode(t *testing.T) {
	c := readContract(t)
	var codes []string
	for _, one := range c.at(t, "components", "messages", "error", "payload", "properties", "code", "oneOf").([]any) {
		codes = append(codes, one.(map[string]any)["const"].(string))
	}
	require.ElementsMatch(t, codes, []string{
		string(codeBadJSON), string(codeUnknownType), string(codeRateLimited), string(rooms.CodeInvalid), string(rooms.CodeEmptyText),
		string(rooms.CodeTextTooLong), string(rooms.CodeNotFound), string(rooms.CodeLimit), string(rooms.CodeUnavailable),
	})
	reasons := map[string]string{}
	for _, code := range c.at(t, "channels", "room", "x-close-codes").([]any) {
		code := code.(map[string]any)
		reasons[fmt.Sprint(code["code"])] = code["reason"].(string)
	}
	for _, why := range []ws.Status{
		closeGoingAway, closeUnsupported, closeNotUTF8, closeTooBig, closeFault, closeRoomDeleted, closeNotAllowed, closeSlow,
	} {
		require.Equal(t, why.Reason, reasons[strconv.Itoa(why.Code)], "%d", why.Code)
	}
	require.Contains(t, reasons, strconv.Itoa(closeSilent.Code))
}

// A client that does not know a code can tell from its range whether to reconnect.
func TestCloseCodesAreInTheRangesThatSayWhetherToReconnect(t *testing.T) {
	for _, code := range readContract(t).at(t, "channels", "room", "x-close-codes").([]any) {
		code := code.(map[string]any)
		number, err := strconv.Atoi(fmt.Sprint(code["code"]))
		require.NoError(t, err)
		require.Equal(t, code["reconnect"], ws.Status{Code: number}.Reconnect(), "%d", number)
	}
}

func TestAsyncAPISaysWhatSocketIOSends(t *testing.T) {
	c := readContract(t)
	said := &rooms.Message{ID: "017cdc9f-7d79-7c3a-8d15-e60f2b94cc33", RoomID: "general", Seq: 1, ClientID: "user123", Text: "x",
		CreatedAt: time.UnixMilli(1635789012345), UpdatedAt: time.UnixMilli(1635789012345)}
	answer := *said
	answer.IsReply, answer.ParentID = true, "017cdc9f-7d79-7c3a-8d15-e60f2b94cc32"
	for _, ev := range []*rooms.Event{
		{Kind: rooms.EventMessage, RoomID: "general", Message: said},
		{Kind: rooms.EventMessage, RoomID: "general", Message: &answer},
		{Kind: rooms.EventTyping, RoomID: "general", ClientID: "user456"},
		{Kind: rooms.EventJoined, RoomID: "general", ClientID: "user456", Participants: 5},
		{Kind: rooms.EventLeft, RoomID: "general", ClientID: "user456", Participants: 4},
		{Kind: rooms.EventRoomDeleted, RoomID: "general"},
	} {
		frame := sioFormat{}.Append(nil, ev, "")
		packet := string(frame[max(map[byte]int{126: 4, 127: 10}[frame[1]], 2):])
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.TrimPrefix(packet, "42")))
		require.NoError(t, err, packet)
		event := v.([]any)
		require.Len(t, event, 2, packet)
		message := "sio_" + event[0].(string)
		all, always := c.fields(t, message)
		require.ElementsMatch(t, all, slices.Collect(maps.Keys(event[1].(map[string]any))), message)
		require.ElementsMatch(t, all, always, message)
		c.allows(t, message, event[1])
	}
}

func TestAsyncAPISaysWhatSocketIOTakes(t *testing.T) {
	c := readContract(t)
	for _, name := range []string{"sio_join", "sio_leave"} {
		for _, example := range c.at(t, "components", "messages", name, "examples").([]any) {
			raw, err := json.Marshal(example.(map[string]any)["payload"])
			require.NoError(t, err)
			req, _, err := parseRequest(raw, "socket")
			require.NoError(t, err)
			require.Equal(t, rooms.Join{RoomID: "general", ClientID: "user123"}, req)
		}
	}
	var taken []string
	for f := range reflect.TypeFor[saying]().Fields() {
		if !f.Anonymous {
			taken = append(taken, f.Tag.Get("json"))
		}
	}
	all, _ := c.fields(t, "sio_say")
	require.Subset(t, append(taken, "chatroom_id", "user_id", "traceparent", "tracestate"), all)
	for _, name := range []string{"sio_say", "sio_type"} {
		for _, example := range c.at(t, "components", "messages", name, "examples").([]any) {
			raw, err := json.Marshal(example.(map[string]any)["payload"])
			require.NoError(t, err)
			var s saying
			require.NoError(t, json.Unmarshal(raw, &s))
			require.Equal(t, "general", s.ChatroomID)
		}
	}
	examples := c.at(t, "components", "messages", "sio_error", "examples").([]any)
	require.Equal(t, required, examples[0].(map[string]any)["payload"].(map[string]any)["message"])
}
