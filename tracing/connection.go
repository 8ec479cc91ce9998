package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// connection is what all spans of one client's connection have in common. It does not change once made.
type connection struct {
	name  attribute.KeyValue   // chat.connection.id
	attrs []attribute.KeyValue // of every span, besides name
	wire  []byte               // attrs as they are exported
	links []sdktrace.Link      // to the connect span
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
