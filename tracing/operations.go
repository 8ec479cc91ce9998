package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// operation declares one thing that the server does and tells about: how its span is named, which function it is in the
// trace log, and under which name it is timed.
type operation struct {
	span     string
	kind     trace.SpanKind
	module   string
	function string
	// linked: the span is linked to the connect span of its connection
	linked bool
	many   bool    // it has more than few attributes of its own
	gains  int     // attributes that it mostly gets by its end
	shares sharing // attributes of its connection, besides the id
	// constant attributes, besides those of the connection
	attrs []attribute.KeyValue

	// Filled in once, for all.
	index int    // among the operations, or notListed
	place string // module and function, as they stand in the trace log
	wire  []byte // name, kind and attrs, as they are exported
}

// sharing says which attributes of its connection a span has, besides the connection's id.
type sharing uint8

const (
	sharesNothing   sharing = iota
	sharesProtocol          // network.protocol.name
	sharesMessaging         // and messaging.system
	sharings
)

// template is the part of span names and destinations that stands for a room: the rooms themselves are too many.
const template = "room/{room}"

// ofRooms are the attributes of a span whose name has the template.
var ofRooms = []attribute.KeyValue{semconv.MessagingDestinationTemplate(template)}

// messaging is the attributes of a span that the semantic conventions call a messaging span, but for messaging.system,
// which is the connection's or the event's.
func messaging(name string, kind attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{semconv.MessagingOperationName(name), kind}, ofRooms...)
}

// The operations. The spans of HTTP requests are named by otelhttp after their routes.
var (
	opReceive = operation{span: "receive " + template, kind: trace.SpanKindConsumer, module: "rooms", function: "receive", linked: true, gains: 2,
		shares: sharesMessaging, attrs: messaging("receive", semconv.MessagingOperationTypeProcess)}
	opAppend = operation{span: "append", kind: trace.SpanKindClient, module: "store", function: "append",
		attrs: []attribute.KeyValue{semconv.DBOperationName("append"), semconv.DBCollectionName("messages")}}
	opBroadcast = operation{span: "broadcast " + template, kind: trace.SpanKindProducer, module: "rooms", function: "broadcast",
		shares: sharesMessaging, attrs: messaging("broadcast", semconv.MessagingOperationTypeSend)}
	opRelay = operation{span: "relay " + template, kind: trace.SpanKindConsumer, module: "relay", function: "relay", many: true,
		shares: sharesMessaging, attrs: messaging("relay", semconv.MessagingOperationTypeProcess)}
	opDeliver    = operation{span: "deliver " + template, kind: trace.SpanKindInternal, module: "rooms", function: "deliver", many: true, attrs: ofRooms}
	opJoin       = operation{span: "join " + template, kind: trace.SpanKindInternal, module: "rooms", function: "join", linked: true, shares: sharesProtocol, attrs: ofRooms}
	opLeave      = operation{span: "leave " + template, kind: trace.SpanKindInternal, module: "rooms", function: "leave", linked: true, shares: sharesProtocol, attrs: ofRooms}
	opConnectWS  = operation{span: "GET /ws/{room_id}/{client_id}", kind: trace.SpanKindServer, module: "web", function: "connect", many: true}
	opConnectSIO = operation{span: "GET /socket.io/", kind: trace.SpanKindServer, module: "web", function: "connect", many: true}
	opDisconnect = operation{span: "disconnect", kind: trace.SpanKindInternal, module: "web", function: "disconnect", linked: true, shares: sharesProtocol}

	opCreateRoom    = operation{span: "create room", kind: trace.SpanKindInternal, module: "rooms", function: "create_room"}
	opListRooms     = operation{span: "list rooms", kind: trace.SpanKindInternal, module: "rooms", function: "list_rooms"}
	opGetRoom       = operation{span: "get room", kind: trace.SpanKindInternal, module: "rooms", function: "get_room"}
	opDeleteRoom    = operation{span: "delete room", kind: trace.SpanKindInternal, module: "rooms", function: "delete_room"}
	opMessages      = operation{span: "list messages", kind: trace.SpanKindInternal, module: "rooms", function: "list_messages"}
	opGetMessage    = operation{span: "get message", kind: trace.SpanKindInternal, module: "rooms", function: "get_message"}
	opDeleteMessage = operation{span: "delete message", kind: trace.SpanKindInternal, module: "rooms", function: "delete_message"}
	opCreateUser    = operation{span: "create user", kind: trace.SpanKindInternal, module: "rooms", function: "create_user"}
	opGetUser       = operation{span: "get user", kind: trace.SpanKindInternal, module: "rooms", function: "get_user"}
	opListUsers     = operation{span: "list users", kind: trace.SpanKindInternal, module: "rooms", function: "list_users"}
	opDeleteUser    = operation{span: "delete user", kind: trace.SpanKindInternal, module: "rooms", function: "delete_user"}

	opStart = operation{span: "start", kind: trace.SpanKindInternal, module: "app", function: "start"}
	opDrain = operation{span: "drain", kind: trace.SpanKindInternal, module: "app", function: "drain"}
)

// operations is every operation, by the name of its span.
var operations = func() map[string]*operation {
	table := make(map[string]*operation)
	for i, op := range []*operation{
		&opReceive, &opAppend, &opBroadcast, &opRelay, &opDeliver, &opJoin, &opLeave, &opConnectWS,
		&opConnectSIO, &opDisconnect, &opCreateRoom, &opListRooms, &opGetRoom, &opDeleteRoom, &opMessages,
		&opGetMessage, &opDeleteMessage, &opCreateUser, &opGetUser, &opListUsers, &opDeleteUser, &opStart, &opDrain,
	} {
		op.fill(i)
		table[op.span] = op
	}
	return table
}()

// notListed is the index of operations that are declared when they are first seen.
const notListed = -1

// fill fills in what follows from the declaration.
func (op *operation) fill(index int) {
	op.index = index
	op.place = placeOf(op.module, op.function)
	op.wire = wireOperation(op)
}
