package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/web/docs"
)

// routes is a mux that can list its patterns, which http.ServeMux cannot: a test compares the documentation with them.
type routes struct {
	*http.ServeMux
	patterns []string
}

// Handle implements http.ServeMux.
func (r *routes) Handle(pattern string, handler http.Handler) {
	r.patterns = append(r.patterns, pattern)
	r.ServeMux.Handle(pattern, handler)
}

// HandleFunc implements http.ServeMux.
func (r *routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	r.Handle(pattern, http.HandlerFunc(handler))
}

// Tags of the calls, in the order in which they are documented.
const (
	tagRooms      = "Rooms"
	tagUsers      = "Users"
	tagChatrooms  = "Chatrooms"
	tagMessages   = "Messages"
	tagConnecting = "Connecting"
	tagTraces     = "Traces"
	tagOperations = "Operations"
	tagDocs       = "Documentation"
)

// about is the introduction of the OpenAPI document, in Markdown.
const about = `A chat server that shows what it does while it does it. Create rooms and users, post messages, and read what was said; ` +
	`hear it in real time by WebSocket or Socket.IO. All ways lead to the same rooms.

- Requests and answers are JSON. A trailing slash makes no difference.
- Errors are ` + "`application/problem+json`" + ` (RFC 9457): ` + "`detail`" + ` says what is wrong and what it takes, ` + "`errors`" + ` which fields.
- ` + "`timestamp`" + ` and ` + "`created_at`" + ` are Unix milliseconds; ` + "`created_date`" + ` and ` + "`last_updated_date`" + ` are RFC 3339, in UTC.
- Ids of rooms, clients and users are 1 to 64 of ` + "`A-Z a-z 0-9 _ . -`" + `. A text has 1 to 4096 characters.
- A request with a ` + "`traceparent`" + ` (W3C Trace Context) is part of that trace.
- A request line and headers are at most 16 KiB together, else the answer is 431; a path is at most 256 bytes and at most 4 KiB with its query, else it is 414.
- A method that a call does not take is answered with 405; ` + "`Allow`" + ` says which it takes.
- Browsers may use the API from pages of the same origin only. There is no login.`

// document sets the parts of the OpenAPI document that are about no single call.
func document(config *huma.Config) {
	// The document is served by Server.docs.
	config.OpenAPIPath = ""
	config.DocsPath = ""
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema in answers
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Info.Description = about
	config.Servers = []*huma.Server{{URL: "/", Description: "The server that this document was read from"}}
	config.Tags = []*huma.Tag{
		{Name: tagRooms, Description: "Rooms are what clients join and speak in. `general`, `go` and `random` exist from the start; connecting to a room that does not exist creates it."},
		{Name: tagUsers, Description: "Registered authors of messages that are posted over HTTP. Who speaks over WebSocket need not be one."},
		{Name: tagChatrooms, Description: "The same rooms, as the message API tells them: a chatroom's id is a room's id. Created here, a room gets a generated id."},
		{Name: tagMessages, Description: "Post messages over HTTP, and read what was said by any way."},
		{Name: tagConnecting, Description: "Requests that open a connection. What is then said over it is described below, and in `/asyncapi.yaml`."},
		{Name: tagTraces, Description: "What the server does, while it does it: the newest traces, from memory. The page shows the same; looking at them makes no more of them."},
		{Name: tagOperations, Description: "For those who run the server."},
		{Name: tagDocs, Description: "The page for people, and the contract in these forms."},
	}
}

// schemaName names a type in the OpenAPI document: roomBody is Room there.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for _, suffix := range []string{"AnswerBody", "Body"} {
		if short, ok := strings.CutSuffix(name, suffix); ok && short != "" {
			return short
		}
	}
	return name
}

// docs serves the documentation of all calls, which have been registered before.
func (s *Server) docs(api huma.API) {
	doc := api.OpenAPI()
	describeOthers(doc)
	complete(doc)
	// Made at the first request: most servers never get one.
	made := sync.OnceValue(func() *published { return publish(doc) })
	serve := func(pattern, kind string, body func(*published) []byte) {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("X-Content-Type-Options", "nosniff")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body(made())))
		})
	}
	serve("GET /openapi.json", "application/json", func(p *published) []byte { return p.json })
	serve("GET /openapi.yaml", "application/yaml", func(p *published) []byte { return p.yaml })
	serve("GET /openapi-3.0.json", "application/json", func(p *published) []byte { return p.json30 })
	serve("GET /asyncapi.yaml", "application/yaml", func(*published) []byte { return docs.AsyncAPI() })
	s.mux.HandleFunc("GET /docs", func(w http.ResponseWriter, r *http.Request) { made().page.ServeHTTP(w, r) })
}

// published is the documentation in all its forms.
type published struct {
	json, yaml, json30 []byte
	page               *docs.Page
}

// publish makes all forms of a complete document. It panics if that fails, which depends on no input and is tested.
func publish(doc *huma.OpenAPI) *published {
	var p published
	plain, err := json.Marshal(doc)
	must(err)
	var b bytes.Buffer
	must(json.Indent(&b, plain, "", "  "))
	p.json = b.Bytes()
	p.yaml, err = doc.YAML()
	must(err)
	p.json30, err = doc.Downgrade()
	must(err)
	p.page, err = docs.NewPage(plain)
	must(err)
	return &p
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// describeOthers describes what is not served by huma.
func describeOthers(doc *huma.OpenAPI) {
	text := func(path, id, tag, summary, description, kind string) {
		doc.AddOperation(&huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: summary, Description: description,
			Responses: map[string]*huma.Response{"200": {Description: summary, Content: map[string]*huma.MediaType{
				kind: {Schema: &huma.Schema{Type: huma.TypeString}},
			}}},
		})
	}
	text("/", "page", tagDocs, "The chat page", "", "text/html")
	text("/docs", "docs", tagDocs, "This documentation", "", "text/html")
	text("/openapi.yaml", "openapi-yaml", tagDocs, "OpenAPI 3.1 as YAML", "", "application/yaml")
	text("/asyncapi.yaml", "asyncapi", tagDocs, "AsyncAPI 3.0 as YAML", "", "application/yaml")
	text("/metrics", "metrics", tagOperations, "Metrics for Prometheus",
		"Prometheus' text format; OpenMetrics with exemplars when the scraper asks for it.", "text/plain")
	text("/openapi.json", "openapi", tagDocs, "OpenAPI 3.1 as JSON", "The calls that you are reading about.", "application/json")
	text("/openapi-3.0.json", "openapi-3-0", tagDocs, "OpenAPI 3.0 as JSON", "For tools that do not know 3.1.", "application/json")
	for _, path := range []string{"/openapi.json", "/openapi-3.0.json"} {
		doc.Paths[path].Get.Responses["200"].Content["application/json"].Schema.Type = huma.TypeObject
	}
	connecting := []string{tagConnecting}
	str := func(example any, values ...any) *huma.Schema {
		return &huma.Schema{Type: huma.TypeString, Examples: []any{example}, Enum: values}
	}
	nothing := 0.0
	doc.AddOperation(&huma.Operation{
		OperationID: "connect-websocket", Method: http.MethodGet, Path: "/ws/{room_id}/{client_id}", Tags: connecting,
		Summary:     "Connect with WebSocket",
		Description: "Joins the room. This is the opening handshake of RFC 6455; clients of WebSocket send these headers by themselves.",
		Parameters: []*huma.Param{
			{Name: "room_id", In: "path", Required: true, Description: "The room; it is created if it does not exist", Schema: str("general")},
			{Name: "client_id", In: "path", Required: true, Description: "Who connects", Schema: str("user123")},
			{Name: "since", In: "query", Description: "Resume after this sequence number", Schema: &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &nothing}},
			{Name: "epoch", In: "query", Description: "The epoch that `history` had, with `since`", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "traceparent", In: "query", Description: "W3C trace context, for clients that cannot set headers", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "tracestate", In: "query", Description: "Goes with `traceparent`. Of more than 512 bytes, members at the end are dropped", Schema: &huma.Schema{Type: huma.TypeString}},
			{Name: "Connection", In: "header", Required: true, Schema: str("Upgrade")},
			{Name: "Upgrade", In: "header", Required: true, Schema: str("websocket")},
			{Name: "Sec-WebSocket-Version", In: "header", Required: true, Schema: str("13", "13")},
			{Name: "Sec-WebSocket-Key", In: "header", Required: true, Description: "16 random bytes in base64", Schema: str("dGhlIHNhbXBsZSBub25jZQ==")},
		},
		Responses: map[string]*huma.Response{"101": {Description: "The connection is open, and the room joined."}},
		Errors:    []int{http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
	})
	engine := []*huma.Param{
		{Name: "EIO", In: "query", Required: true, Description: "Revision of the Engine.IO protocol", Schema: str("4", "4")},
		{Name: "transport", In: "query", Required: true, Description: "How the connection begins", Schema: str("polling", "polling", "websocket")},
		{Name: "sid", In: "query", Description: "The session, in all requests but the first", Schema: &huma.Schema{Type: huma.TypeString}},
	}
	doc.Components.Schemas.Map()["Refusal"] = &huma.Schema{
		Type: huma.TypeObject, Required: []string{"code", "message"}, Description: "Why a request of Socket.IO could not be served, as its clients know it.",
		Properties: map[string]*huma.Schema{
			"code":    {Type: huma.TypeInteger, Description: "What is wrong, as Engine.IO numbers it", Examples: []any{1}},
			"message": {Type: huma.TypeString, Description: "What is wrong, for people", Examples: []any{"Session ID unknown"}},
		},
	}
	refused := func(description string) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/Refusal"}},
		}}
	}
	packets := map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}
	doc.AddOperation(&huma.Operation{
		OperationID: "connect-socketio", Method: http.MethodGet, Path: "/socket.io/", Tags: connecting,
		Summary:     "Connect with Socket.IO",
		Description: "Engine.IO 4: the handshake, then what is polled. Clients of Socket.IO do this by themselves.",
		Parameters:  engine,
		Responses: map[string]*huma.Response{
			"101": {Description: "With `transport=websocket`: the connection is open."},
			"200": {Description: "Engine.IO packets; the first begins with `0` and tells the session's id.", Content: packets},
			"400": refused("The request is not one of Engine.IO 4, or its session is not known."),
			"403": refused("The request is from a page of another origin."),
			"503": refused("The server has as many connections as it takes, or is going away."),
		},
	})
	doc.AddOperation(&huma.Operation{
		OperationID: "send-socketio", Method: http.MethodPost, Path: "/socket.io/", Tags: connecting,
		Summary: "Send by polling", Description: "How clients of Socket.IO send before they have upgraded to WebSocket: Engine.IO packets, separated by U+001E.",
		Parameters:  []*huma.Param{engine[0], engine[1], {Name: "sid", In: "query", Required: true, Description: "The session", Schema: str("lv_VI97HAXpY6yYWAAAC")}},
		RequestBody: &huma.RequestBody{Required: true, Content: packets},
		Responses: map[string]*huma.Response{
			"200": {Description: "Taken; the body is `ok`.", Content: packets},
			"400": refused("The request is not one of Engine.IO 4, or its session is not known."),
			"413": {Description: "The body is over the size limit."},
		},
	})
}

// meanings has what an error's status means, with an example of its detail and field.
var meanings = map[int]struct{ text, detail, field string }{
	http.StatusBadRequest:            {"The body is not JSON.", "unexpected end of JSON input", "body"},
	http.StatusForbidden:             {"The request is from a page of another origin.", "websocket: request origin not allowed by Upgrader.CheckOrigin", ""},
	http.StatusNotFound:              {"What the request names does not exist.", "room general does not exist", "room_id"},
	http.StatusConflict:              {"The handle is taken.", "handle ada is taken", "handle"},
	http.StatusRequestEntityTooLarge: {"The body has more than 1 MiB.", "request body is too large limit=1048576 bytes", ""},
	http.StatusUnsupportedMediaType:  {"The body is not declared as `application/json`.", "body: unknown content type: text/plain", "body"},
	http.StatusUnprocessableEntity:   {"A field cannot be used; `errors` names it.", "room_id must be 1 to 64 of A-Z a-z 0-9 _ . -", "room_id"},
	http.StatusTooManyRequests:       {"The server has as many rooms as it takes.", "the server has as many rooms as it takes; delete one or join an existing one", ""},
	http.StatusServiceUnavailable:    {"The server cannot do this now; try again.", "the server cannot do this now; try again", ""},
}

// objects are descriptions of the objects that calls take and answer with, by their names in the document.
var objects = map[string]string{
	"Room":        "A room, as the calls for rooms tell it.",
	"Chatroom":    "A room, as the message API tells it.",
	"Message":     "A message, as it is told over WebSocket.",
	"Posted":      "A message, as the message API and Socket.IO tell it.",
	"User":        "A registered user.",
	"Problem":     "Why a request could not be served (RFC 9457).",
	"FieldDetail": "What is wrong with one field.",
}

// missing are details of 404 where that is not about a room, by the call's id. The name before the colon is the field.
var missing = map[string]string{
	"get-user":       "id:user " + exampleUser + " does not exist",
	"post-message":   "user_id:user " + exampleUser + " does not exist",
	"get-message":    "id:message " + exampleMessage + " does not exist",
	"delete-message": "id:message " + exampleMessage + " does not exist",
}

// Ids and the time in examples.
const (
	exampleTime    = 1635789012345
	exampleEpoch   = "3f9a2b41.0.1"
	exampleUser    = "017ccd2c-6979-72f1-9c4e-5d7a1b30aa11"
	exampleMessage = "017cdc9f-7d79-7c3a-8d15-e60f2b94cc33"
)

// complete adds to the calls' descriptions what huma cannot know: which errors there are, with examples, what the rooms
// require of an id, and answers with another status than the usual one.
func complete(doc *huma.OpenAPI) {
	copyAnswer(doc.Paths["/rooms"].Post, "201", "200", "It exists already.")
	copyAnswer(doc.Paths["/health"].Get, "200", "503", "It does not work; `failing` says what.")
	copyAnswer(doc.Paths["/readyz"].Get, "200", "503", "It is starting or draining, or `failing` does not work.")
	show := func(op *huma.Operation, status string, body any) {
		op.Responses[status].Content["application/json"].Example = body
	}
	show(doc.Paths["/rooms"].Post, "201", roomBody{RoomID: "test", Name: "Test Room", CreatedAt: exampleTime, Epoch: exampleEpoch})
	show(doc.Paths["/rooms"].Post, "200", roomBody{RoomID: "test", Name: "Test Room", Participants: 5, Messages: 42, CreatedAt: exampleTime, Epoch: exampleEpoch})
	show(doc.Paths["/health"].Get, "503", healthBody{"unhealthy", "traceroom", exampleTime, "store"})
	show(doc.Paths["/readyz"].Get, "503", readyBody{"unavailable", "store"})
	problem := &huma.Schema{Ref: "#/components/schemas/Problem"}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				if p.In != "path" || p.Name == "trace_id" {
					continue
				}
				describeID(p.Schema)
				if p.Name == "id" {
					p.Description, p.Schema.Examples = idMeaning(op)
				}
			}
			// Faults of the server itself are answered with 503.
			delete(op.Responses, "500")
			delete(op.Responses, "default")
			errors := op.Errors
			if op.RequestBody != nil && len(errors) > 0 {
				errors = append(errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
			}
			for _, status := range errors {
				if status == http.StatusInternalServerError {
					continue
				}
				text, example := meaning(doc, op, status)
				op.Responses[strconv.Itoa(status)] = &huma.Response{Description: text, Content: map[string]*huma.MediaType{
					"application/problem+json": {Schema: problem, Example: example},
				}}
			}
		}
	}
	for _, s := range doc.Components.Schemas.Map() {
		for _, p := range s.Properties {
			p.PatternDescription = "" // is not of JSON Schema; huma has used it for its messages already
		}
	}
	for name, text := range objects {
		doc.Components.Schemas.Map()[name].Description = text
	}
	create := doc.Components.Schemas.Map()["CreateRoom"].Properties
	describeID(create["room_id"])
	describeName(create["name"])
	for _, p := range doc.Paths["/rooms"].Post.Parameters {
		if p.Name == "room_id" {
			describeID(p.Schema)
		} else {
			describeName(p.Schema)
		}
	}
}

// meaning returns what an error's status means as an answer of this call, and an example.
func meaning(doc *huma.OpenAPI, op *huma.Operation, status int) (text string, example *Problem) {
	m := meanings[status]
	text, example = m.text, newProblem(status, m.detail)
	field := m.field
	connects := op.Responses["101"] != nil
	switch {
	case op.Tags[0] == tagTraces:
		text, example.Detail, field = traceErrors[status].text, traceErrors[status].detail, ""
	case status == http.StatusNotFound && missing[op.OperationID] != "":
		field, example.Detail, _ = strings.Cut(missing[op.OperationID], ":")
	case status == http.StatusBadRequest && connects:
		text, field = "The request is no WebSocket handshake.", ""
		example.Detail = "websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header"
	case status == http.StatusServiceUnavailable && connects:
		text = "The server has as many connections as it takes."
		example.Detail = "the server has as many connections as it takes; try again later"
	case status == http.StatusServiceUnavailable && op.OperationID == "post-message":
		text = "The message is not stored, or it is not known whether it is. With the same `Idempotency-Key` it is safe to send it again."
		example.Detail = rooms.NotKnown(nil).Detail
	case status == http.StatusServiceUnavailable && op.Method != http.MethodGet:
		text = "The server cannot do this now, or does not know whether it was done; try again."
	case status == http.StatusUnprocessableEntity && op.RequestBody != nil && op.RequestBody.Required:
		name := doc.Components.Schemas.SchemaFromRef(op.RequestBody.Content["application/json"].Schema.Ref).Required[0]
		field, example.Detail = "body."+name, name+": is required"
	case status == http.StatusUnprocessableEntity && firstInPath(op) == "id":
		field, example.Detail = idField(op), idField(op)+" must be 1 to 64 of A-Z a-z 0-9 _ . -"
	}
	if field != "" {
		said := example.Detail
		if _, after, ok := strings.Cut(said, ": "); ok {
			said = after
		}
		example.Errors = []FieldDetail{{Field: field, Message: said}}
	}
	return text, example
}

// firstInPath returns the name of the first parameter in the call's path.
func firstInPath(op *huma.Operation) string {
	for _, p := range op.Parameters {
		if p.In == "path" {
			return p.Name
		}
	}
	return ""
}

// idField returns the name that errors have for the id in the call's path.
func idField(op *huma.Operation) string {
	switch op.Tags[0] {
	case tagUsers:
		return "user_id"
	case tagMessages:
		return "message_id"
	}
	return "room_id"
}

// idMeaning returns what the id in the call's path stands for, and an example.
func idMeaning(op *huma.Operation) (description string, examples []any) {
	switch op.Tags[0] {
	case tagUsers:
		return "The user", []any{exampleUser}
	case tagMessages:
		return "The message", []any{exampleMessage}
	}
	return "The room", []any{"general"}
}

// describeID describes what the rooms require of an id. It is an extension of the schema: a pattern would make huma check the
// id before the rooms do, with an error that says less.
func describeID(s *huma.Schema) {
	s.Extensions = map[string]any{"minLength": 1, "maxLength": rooms.MaxIDLength, "pattern": "^[A-Za-z0-9_.-]+$"}
}

func describeName(s *huma.Schema) {
	s.Extensions = map[string]any{"minLength": 1, "maxLength": rooms.MaxNameLength}
}

// copyAnswer adds another status with which a call may answer, with the same content.
func copyAnswer(op *huma.Operation, from, to, description string) {
	r := &huma.Response{Description: description, Content: map[string]*huma.MediaType{}}
	for kind, m := range op.Responses[from].Content {
		c := *m
		r.Content[kind] = &c
	}
	op.Responses[to] = r
}
