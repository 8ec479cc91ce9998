package tracing

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// connection is what all spans of one client's connection have in common. It does not change once it is linked.
type connection struct {
	id     string
	thread string          // in the trace log
	arg    string          // id, as it stands among the args of a line of the trace log
	wire   []byte          // id, as it is exported
	shared *shared         // with the other connections of its transport
	links  []sdktrace.Link // to the connect span
	linked string          // the same, as it ends a line of the trace log
}

// newConnection is the connection with this id, which is of the server's making, on this transport.
func newConnection(id, transport string) *connection {
	return &connection{
		id: id, thread: threadName(id), arg: `\"` + keyConnection.arg + `\":\"` + id + `\"`,
		wire: wireAttributes([]attribute.KeyValue{keyConnection.name.String(id)}), shared: sharedOf(transport),
	}
}

// shared is the attributes that the spans of all connections of a transport have, by what their operation shares: as
// OpenTelemetry has them, and as they are exported.
type shared struct {
	attrs [sharings][]attribute.KeyValue
	wire  [sharings][]byte
}

func newShared(transport string) *shared {
	s := &shared{}
	s.attrs[sharesProtocol] = []attribute.KeyValue{semconv.NetworkProtocolName(transport)}
	s.attrs[sharesMessaging] = append(s.attrs[sharesProtocol], semconv.MessagingSystemKey.String(transport))
	for i, attrs := range s.attrs {
		s.wire[i] = wireAttributes(attrs)
	}
	return s
}

var sharedBy = func() map[string]*shared {
	table := make(map[string]*shared)
	for _, t := range transports {
		table[t] = newShared(t)
	}
	return table
}()

// sharedOf is what connections of this transport share.
func sharedOf(transport string) *shared {
	if s := sharedBy[transport]; s != nil {
		return s
	}
	return newShared(transport)
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
