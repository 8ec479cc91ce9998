package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// connection is what all spans of one client's connection have in common. It does not change once it is linked.
type connection struct {
	id     string
	thread string               // in the trace log
	arg    string               // id, as it stands among the args of a line of the trace log
	attrs  []attribute.KeyValue // of every span, besides the id
	wire   []byte               // id and attrs, as they are exported
	links  []sdktrace.Link      // to the connect span
	linked string               // the same, as it ends a line of the trace log
}

// newConnection is the connection with this id, which is of the server's making, and these attributes.
func newConnection(id string, attrs ...attribute.KeyValue) *connection {
	return &connection{
		id: id, thread: threadName(id), arg: `\"` + keyConnection.arg + `\":\"` + id + `\"`, attrs: attrs,
		wire: wireAttributes(append([]attribute.KeyValue{keyConnection.name.String(id)}, attrs...)),
	}
}

// link is told of the span that opened the connection, before there is any other.
func (c *connection) link(to trace.SpanContext) {
	c.links = []sdktrace.Link{{SpanContext: to}}
	c.linked = linkOf(to)
}

type (
	connectionKey struct{}
	textKey       struct{}
)

func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// withText adds a message's text for the trace log; spans never carry it.
func withText(ctx context.Context, text string) context.Context {
	return context.WithValue(ctx, textKey{}, text)
}

func textOf(ctx context.Context) (string, bool) {
	text, ok := ctx.Value(textKey{}).(string)
	return text, ok
}

// threadName is the logical thread of a connection: its id ends in the number of the connection within the process.
func threadName(connectionID string) string {
	return "conn-" + connectionID[strings.LastIndexByte(connectionID, '-')+1:]
}
