package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// Names of instrumentation scopes: ours, otelhttp's for HTTP requests, and that of what is sent to PostgreSQL.
const (
	scope     = "github.com/traceroom/traceroom/tracing"
	httpScope = otelhttp.ScopeName
	sqlScope  = "github.com/jackc/pgx/v5"
)

// maxText is how many bytes of a text a span takes.
const maxText = 1 << 10

const connectionID attribute.Key = "traceroom.connection.id"

// table is what all spans here say. operations.go declares its operations.
var table = &span.Table{
	Limits:     span.Limits{Text: maxText, Events: 128}, // 128 as the SDK's default
	Connection: connectionID,
	Names: func(name, scope string) (module, function string) {
		switch scope {
		case httpScope:
			return "http", name
		case sqlScope:
			return "sql", name
		}
		return "library", name
	},
	Thread: func(module, connectionID string) string {
		switch {
		case connectionID != "":
			return threadOf(connectionID)
		case module == "app":
			return "main"
		}
		return "http"
	},
}

// threadOf returns the logical thread of a connection: its id ends in the number of the connection within the process.
func threadOf(connectionID string) string {
	return "conn-" + connectionID[strings.LastIndexByte(connectionID, '-')+1:]
}

// The attributes of operations, with their names among the args and in the result of lines of the trace log. What OpenTelemetry's
// semantic conventions have a name for goes by that name.
var (
	keyConnection  = table.Text(connectionID, "connection_id", "")
	keySeq         = table.Number("traceroom.room.seq", "seq", "seq")
	keySince       = table.Number("traceroom.since", "since", "")
	keyRepeated    = table.Text("traceroom.repeated", "", "repeated") // "true": it was stored before, under its ref
	keyEvent       = table.Text("traceroom.event", "event", "")
	keyCount       = table.Number("traceroom.count", "", "count")
	keyRecipients  = table.Number("traceroom.recipients", "recipients", "recipients")
	keyWritten     = table.Number("traceroom.written", "", "written")
	keyDropped     = table.Number("traceroom.dropped", "", "dropped")
	keySlowest     = table.Text("traceroom.slowest", "", "slowest")
	keyCloseCode   = table.Number("traceroom.close.code", "code", "")
	keyCloseReason = table.Text("traceroom.close.reason", "reason", "")
	keyUser        = table.Text("traceroom.user.id", "user_id", "")
	keyHandle      = table.Text("traceroom.user.handle", "handle", "")

	keyRoom      = table.Text(semconv.MessagingDestinationNameKey, "room_id", "")
	keyClient    = table.Text(semconv.MessagingClientIDKey, "client_id", "")
	keyMessage   = table.Text(semconv.MessagingMessageIDKey, "message_id", "message_id")
	keySize      = table.Number(semconv.MessagingMessageBodySizeKey, "text_length", "")
	keyErrorType = table.Text(semconv.ErrorTypeKey, "", "")
	keyMethod    = table.Text(semconv.HTTPRequestMethodKey, "method", "")
	keyPath      = table.Text(semconv.URLPathKey, "path", "")
	keyScheme    = table.Text(semconv.URLSchemeKey, "", "")
	keyRoute     = table.Text(semconv.HTTPRouteKey, "", "")
	keyAgent     = table.Text(semconv.UserAgentOriginalKey, "user_agent", "")
	keyAddress   = table.Text(semconv.ClientAddressKey, "address", "")
	keyPeer      = table.Text(semconv.NetworkPeerAddressKey, "", "")
	keyPeerPort  = table.Number(semconv.NetworkPeerPortKey, "", "")
	keyProtocol  = table.Text(semconv.NetworkProtocolVersionKey, "", "")
	keySystem    = table.Text(semconv.MessagingSystemKey, "", "")
	keyDatabase  = table.Text(semconv.DBSystemNameKey, "", "")
	keyBatch     = table.Number(semconv.DBOperationBatchSizeKey, "batch", "")
	keySQLState  = table.Text(semconv.DBResponseStatusCodeKey, "", "")
	keyStatus    = table.Number(semconv.HTTPResponseStatusCodeKey, "", "status")
)

// errorType returns the attribute that says which of the rooms' errors err is.
func errorType(err error) span.Attr { return keyErrorType.Of(string(rooms.AsError(err).Code)) }

// connectionKinds are the attributes that connections of a transport have in common. The sharing of operations counts them.
var connectionKinds = func() map[string]*span.ConnectionKind {
	kinds := make(map[string]*span.ConnectionKind)
	for _, t := range transports {
		kinds[t] = &span.ConnectionKind{Attrs: []attribute.KeyValue{semconv.NetworkProtocolName(t), semconv.MessagingSystemKey.String(t)}}
	}
	return kinds
}()

// How many of the attributes in connectionKinds the spans of an operation have.
const (
	sharesProtocol  = 1 // network.protocol.name
	sharesMessaging = 2 // and messaging.system
)

func newConnection(id, transport string) *span.Connection {
	return span.NewConnection(keyConnection.Of(id), threadOf(id), connectionKinds[transport])
}

// extract returns ctx with the trace context of a message or an event as the parent of what follows.
func extract(ctx context.Context, tc rooms.TraceContext) context.Context {
	return span.Extract(ctx, tc.Parent, tc.State)
}

// traceContext returns the trace context of s, which may be nil, for what goes on elsewhere.
func traceContext(ctx context.Context, s *span.Span) (tc rooms.TraceContext) {
	tc.Parent, tc.State = s.Propagate(ctx)
	return tc
}
