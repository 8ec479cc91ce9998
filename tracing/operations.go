package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of ours. What OpenTelemetry's semantic conventions have a name for goes by that name.
const (
	attrConnection   = attribute.Key("chat.connection.id")
	attrSeq          = attribute.Key("chat.room.seq")
	attrParticipants = attribute.Key("chat.room.participants")
	attrSince        = attribute.Key("chat.since")
	attrEvent        = attribute.Key("chat.event")
	attrBatch        = attribute.Key("chat.batch.size")
	attrCount        = attribute.Key("chat.count")
	attrRecipients   = attribute.Key("chat.recipients")
	attrWritten      = attribute.Key("chat.written")
	attrDropped      = attribute.Key("chat.dropped")
	attrSlowest      = attribute.Key("chat.slowest")
	attrCloseCode    = attribute.Key("chat.close.code")
	attrCloseReason  = attribute.Key("chat.close.reason")
	attrUser         = attribute.Key("chat.user.id")
	attrHandle       = attribute.Key("chat.user.handle")
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
	// constant attributes, besides those of the connection
	attrs []attribute.KeyValue
	// attrs as they are exported; filled in once, for all
	wire []byte
}

// template is the part of span names and destinations that stands for a room: the rooms themselves are too many.
const template = "room/{room}"

func messaging(name string, kind attribute.KeyValue) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingOperationName(name), kind, semconv.MessagingDestinationTemplate(template),
	}
}

// The operations. The spans of HTTP requests are named by otelhttp after their routes.
var (
	opReceive = operation{"receive " + template, trace.SpanKindConsumer, "rooms", "receive", true,
		messaging("receive", semconv.MessagingOperationTypeProcess), nil}
	opAppend    = operation{"append", trace.SpanKindClient, "store", "append", false, nil, nil}
	opBroadcast = operation{"broadcast " + template, trace.SpanKindProducer, "rooms", "broadcast", false,
		messaging("broadcast", semconv.MessagingOperationTypeSend), nil}
	opRelay = operation{"relay " + template, trace.SpanKindConsumer, "relay", "relay", false,
		messaging("relay", semconv.MessagingOperationTypeProcess), nil}
	opDeliver    = operation{"deliver " + template, trace.SpanKindInternal, "rooms", "deliver", false, nil, nil}
	opJoin       = operation{"join " + template, trace.SpanKindInternal, "rooms", "join", true, nil, nil}
	opLeave      = operation{"leave " + template, trace.SpanKindInternal, "rooms", "leave", true, nil, nil}
	opConnectWS  = operation{"GET /ws/{room_id}/{client_id}", trace.SpanKindServer, "web", "connect", false, nil, nil}
	opConnectSIO = operation{"GET /socket.io/", trace.SpanKindServer, "web", "connect", false, nil, nil}
	opDisconnect = operation{"disconnect", trace.SpanKindInternal, "web", "disconnect", true, nil, nil}

	opCreateRoom    = operation{"create room", trace.SpanKindInternal, "rooms", "create_room", false, nil, nil}
	opListRooms     = operation{"list rooms", trace.SpanKindInternal, "rooms", "list_rooms", false, nil, nil}
	opGetRoom       = operation{"get room", trace.SpanKindInternal, "rooms", "get_room", false, nil, nil}
	opDeleteRoom    = operation{"delete room", trace.SpanKindInternal, "rooms", "delete_room", false, nil, nil}
	opMessages      = operation{"list messages", trace.SpanKindInternal, "rooms", "list_messages", false, nil, nil}
	opGetMessage    = operation{"get message", trace.SpanKindInternal, "rooms", "get_message", false, nil, nil}
	opDeleteMessage = operation{"delete message", trace.SpanKindInternal, "rooms", "delete_message", false, nil, nil}
	opCreateUser    = operation{"create user", trace.SpanKindInternal, "rooms", "create_user", false, nil, nil}
	opGetUser       = operation{"get user", trace.SpanKindInternal, "rooms", "get_user", false, nil, nil}
	opListUsers     = operation{"list users", trace.SpanKindInternal, "rooms", "list_users", false, nil, nil}

	opStart = operation{"start", trace.SpanKindInternal, "app", "start", false, nil, nil}
	opDrain = operation{"drain", trace.SpanKindInternal, "app", "drain", false, nil, nil}
)

// operations is every operation, by the name of its span.
var operations = func() map[string]*operation {
	table := make(map[string]*operation)
	for _, op := range []*operation{
		&opReceive, &opAppend, &opBroadcast, &opRelay, &opDeliver, &opJoin, &opLeave, &opConnectWS,
		&opConnectSIO, &opDisconnect, &opCreateRoom, &opListRooms, &opGetRoom, &opDeleteRoom, &opMessages,
		&opGetMessage, &opDeleteMessage, &opCreateUser, &opGetUser, &opListUsers, &opStart, &opDrain,
	} {
		op.wire = wireAttributes(op.attrs)
		table[op.span] = op
	}
	return table
}()

// endOnly is the attributes that an operation learns while it lasts, though they have a name among the args.
var endOnly = map[string][]attribute.Key{
	opReceive.span: {semconv.MessagingMessageIDKey, attrSeq},
	opAppend.span:  {attrSeq},
}

// argName is the name that an attribute has among the args of an ENTER line; what is not here is left out.
var argName = map[attribute.Key]string{
	attrConnection:                      "connection_id",
	semconv.MessagingDestinationNameKey: "room_id",
	semconv.MessagingClientIDKey:        "client_id",
	semconv.MessagingMessageIDKey:       "message_id",
	semconv.MessagingMessageBodySizeKey: "text_length",
	attrSeq:                             "seq",
	attrSince:                           "since",
	attrEvent:                           "event",
	attrBatch:                           "batch",
	attrRecipients:                      "recipients",
	attrCloseCode:                       "code",
	attrCloseReason:                     "reason",
	attrUser:                            "user_id",
	attrHandle:                          "handle",
	semconv.HTTPRequestMethodKey:        "method",
	semconv.URLPathKey:                  "path",
}

// resultName is the name that an attribute has in the result of an EXIT line: what only the end of an operation knows.
var resultName = map[attribute.Key]string{
	semconv.MessagingMessageIDKey:     "message_id",
	attrSeq:                           "seq",
	attrParticipants:                  "participants",
	attrCount:                         "count",
	attrRecipients:                    "recipients",
	attrWritten:                       "written",
	attrDropped:                       "dropped",
	attrSlowest:                       "slowest",
	semconv.HTTPResponseStatusCodeKey: "status",
}
