// Package spantest has what tests of Observers need: a table of a few operations, and tracers of it. It is imported by tests only.
package spantest

import (
	"runtime"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/tracing/span"
)

// Scope is the name of the tracers' instrumentation scope.
const Scope = "github.com/traceroom/traceroom/tracing"

// MaxText is the table's limit of a text.
const MaxText = 1 << 10

// Table has the operations and keys below.
var Table = &span.Table{
	Limits: span.Limits{Text: MaxText, Events: 128}, Connection: "traceroom.connection.id",
	Names: func(name, _ string) (module, function string) { return "http", name },
	Thread: func(module, connectionID string) string {
		switch {
		case connectionID != "":
			return thread(connectionID)
		case module == "app":
			return "main"
		}
		return "http"
	},
}

// Keys of attributes.
var (
	Connection = Table.Text("traceroom.connection.id", "connection_id", "")
	Seq        = Table.Number("traceroom.room.seq", "seq", "seq")
	Event      = Table.Text("traceroom.event", "event", "")
	Count      = Table.Number("traceroom.count", "", "count")
	Written    = Table.Number("traceroom.written", "", "written")
	Dropped    = Table.Number("traceroom.dropped", "", "dropped")
	Recipients = Table.Number("traceroom.recipients", "recipients", "recipients")
	User       = Table.Text("traceroom.user.id", "user_id", "")
	Handle     = Table.Text("traceroom.user.handle", "handle", "")
	Room       = Table.Text(semconv.MessagingDestinationNameKey, "room_id", "")
	Client     = Table.Text(semconv.MessagingClientIDKey, "client_id", "")
	Message    = Table.Text(semconv.MessagingMessageIDKey, "message_id", "message_id")
	Size       = Table.Number(semconv.MessagingMessageBodySizeKey, "text_length", "")
	ErrorType  = Table.Text(semconv.ErrorTypeKey, "", "")
)

// Operations.
var (
	Receive = Table.Declare(span.Operation{Name: "receive room/{room}", Kind: trace.SpanKindConsumer, Module: "rooms", Function: "receive",
		Group: "messages", Linked: true, Shares: 2, Attrs: []attribute.KeyValue{semconv.MessagingOperationName("receive")}})
	Append    = Table.Declare(span.Operation{Name: "append", Kind: trace.SpanKindClient, Module: "store", Function: "append", Group: "messages"})
	Broadcast = Table.Declare(span.Operation{Name: "broadcast room/{room}", Kind: trace.SpanKindProducer, Module: "rooms", Function: "broadcast",
		Group: "messages", Shares: 2})
	Deliver = Table.Declare(span.Operation{Name: "deliver room/{room}", Kind: trace.SpanKindInternal, Module: "rooms", Function: "deliver",
		Group: "messages", Many: true})
	Join = Table.Declare(span.Operation{Name: "join room/{room}", Kind: trace.SpanKindInternal, Module: "rooms", Function: "join",
		Group: "connections", Linked: true, Shares: 1})
	Connect = Table.Declare(span.Operation{Name: "connect", Kind: trace.SpanKindServer, Module: "web", Function: "connect",
		Group: "connections", Many: true})
	Create = Table.Declare(span.Operation{Name: "create room", Kind: trace.SpanKindInternal, Module: "rooms", Function: "create_room", Group: "requests"})
	Start  = Table.Declare(span.Operation{Name: "start", Kind: trace.SpanKindInternal, Module: "app", Function: "start", Group: "requests"})
)

// WebSocket is a kind of connections.
var WebSocket = &span.ConnectionKind{Attrs: []attribute.KeyValue{semconv.NetworkProtocolName("websocket"), semconv.MessagingSystemKey.String("websocket")}}

// NewConnection returns a connection with this id, which ends in a dash and a number, linked to to.
func NewConnection(id string, to trace.SpanContext) *span.Connection {
	c := span.NewConnection(Connection.Of(id), thread(id), WebSocket)
	c.Link(to)
	return c
}

func thread(connectionID string) string {
	return "conn-" + connectionID[strings.LastIndexByte(connectionID, '-')+1:]
}

// NewTracer returns a tracer that samples everything. Errors are of the type unavailable.
func NewTracer(observers ...span.Observer) *span.Tracer {
	return span.NewTracer(span.Config{
		Table: Table, Sampler: sdktrace.AlwaysSample(), Observers: observers, Scope: instrumentation.Scope{Name: Scope},
		ErrorType: func(error) span.Attr { return ErrorType.Of("unavailable") },
	})
}

// Heap returns how many bytes of memory are in use.
func Heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
