package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// template stands for a room in the names of spans and destinations: there are too many rooms to name each.
const template = "room/{room}"

// ofRooms are the attributes of a span whose name has the template.
var ofRooms = []attribute.KeyValue{semconv.MessagingDestinationTemplate(template)}

// messaging returns the attributes of what the semantic conventions call a messaging span, except messaging.system, which is the
// connection's or the event's.
func messaging(name string, kind attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{semconv.MessagingOperationName(name), kind}, ofRooms...)
}

// The groups in which live traces are kept, by what a trace began with.
const (
	groupMessages    = "messages"
	groupConnections = "connections"
	groupRequests    = "requests" // all others, those of HTTP requests among them
)

// The operations. The spans of HTTP requests are named by otelhttp after their routes, those of what is sent to PostgreSQL by sql.go.
var (
	opReceive = table.Declare(span.Operation{Name: "receive " + template, Kind: trace.SpanKindConsumer, Module: "rooms", Function: "receive",
		Group: groupMessages, Linked: true, Gains: 2, Shares: sharesMessaging, Attrs: messaging("receive", semconv.MessagingOperationTypeProcess)})
	opAppend = table.Declare(span.Operation{Name: "append", Kind: trace.SpanKindClient, Module: "store", Function: "append",
		Group: groupMessages, Attrs: []attribute.KeyValue{semconv.DBOperationName("append"), semconv.DBCollectionName("messages")}})
	opBroadcast = table.Declare(span.Operation{Name: "broadcast " + template, Kind: trace.SpanKindProducer, Module: "rooms", Function: "broadcast",
		Group: groupMessages, Shares: sharesMessaging, Attrs: messaging("broadcast", semconv.MessagingOperationTypeSend)})
	opRelay = table.Declare(span.Operation{Name: "relay " + template, Kind: trace.SpanKindConsumer, Module: "relay", Function: "relay",
		Group: groupMessages, Many: true, Shares: sharesMessaging, Attrs: messaging("relay", semconv.MessagingOperationTypeProcess)})
	opDeliver = table.Declare(span.Operation{Name: "deliver " + template, Kind: trace.SpanKindInternal, Module: "rooms", Function: "deliver",
		Group: groupMessages, Many: true, Attrs: ofRooms})

	opConnectWS = table.Declare(span.Operation{Name: "GET /ws/{room_id}/{client_id}", Kind: trace.SpanKindServer, Module: "web", Function: "connect",
		Group: groupConnections, Many: true})
	opConnectSIO = table.Declare(span.Operation{Name: "GET /socket.io/", Kind: trace.SpanKindServer, Module: "web", Function: "connect",
		Group: groupConnections, Many: true})
	opJoin = table.Declare(span.Operation{Name: "join " + template, Kind: trace.SpanKindInternal, Module: "rooms", Function: "join",
		Group: groupConnections, Linked: true, Shares: sharesProtocol, Attrs: ofRooms})
	opLeave = table.Declare(span.Operation{Name: "leave " + template, Kind: trace.SpanKindInternal, Module: "rooms", Function: "leave",
		Group: groupConnections, Linked: true, Shares: sharesProtocol, Attrs: ofRooms})
	opDisconnect = table.Declare(span.Operation{Name: "disconnect", Kind: trace.SpanKindInternal, Module: "web", Function: "disconnect",
		Group: groupConnections, Linked: true, Shares: sharesProtocol})

	opCreateRoom    = declare("create room", "rooms", "create_room")
	opListRooms     = declare("list rooms", "rooms", "list_rooms")
	opGetRoom       = declare("get room", "rooms", "get_room")
	opDeleteRoom    = declare("delete room", "rooms", "delete_room")
	opMessages      = declare("list messages", "rooms", "list_messages")
	opGetMessage    = declare("get message", "rooms", "get_message")
	opDeleteMessage = declare("delete message", "rooms", "delete_message")
	opCreateUser    = declare("create user", "rooms", "create_user")
	opGetUser       = declare("get user", "rooms", "get_user")
	opListUsers     = declare("list users", "rooms", "list_users")
	opDeleteUser    = declare("delete user", "rooms", "delete_user")

	opStart = declare("start", "app", "start")
	opDrain = declare("drain", "app", "drain")
)

// declare declares an operation that is part of a request, or of none.
func declare(name, module, function string) *span.Operation {
	return table.Declare(span.Operation{Name: name, Kind: trace.SpanKindInternal, Module: module, Function: function, Group: groupRequests})
}
