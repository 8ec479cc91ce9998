package span

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Connection is what all spans of one client's connection have in common. It does not change once Link has been called.
type Connection struct {
	id     Attr
	thread string
	kind   *ConnectionKind
	links  []sdktrace.Link // to the span that opened it
}

// ConnectionKind is what all connections of one kind, such as a transport, have in common.
type ConnectionKind struct {
	// Attrs are attributes that spans have of their connection's kind: each as many, from the first, as its Operation says.
	Attrs []attribute.KeyValue
}

// NewConnection returns a connection whose spans have the attribute id. thread is its name in logs. kind may be nil.
func NewConnection(id Attr, thread string, kind *ConnectionKind) *Connection {
	return &Connection{id: id, thread: thread, kind: kind}
}

// ID returns the attribute with the connection's id.
func (c *Connection) ID() Attr { return c.id }

// Thread returns the connection's name in logs.
func (c *Connection) Thread() string { return c.thread }

// Kind returns the connection's kind, or nil.
func (c *Connection) Kind() *ConnectionKind { return c.kind }

// Link sets the span that opened the connection. It must be called before other spans of the connection are started.
func (c *Connection) Link(to trace.SpanContext) { c.links = []sdktrace.Link{{SpanContext: to}} }

// Shared returns the attributes that spans of op have of a kind, which may be nil.
func (k *ConnectionKind) Shared(op *Operation) []attribute.KeyValue {
	if k == nil {
		return nil
	}
	return k.Attrs[:op.Shares:op.Shares]
}

type connectionKey struct{}

// ContextWithConnection returns a context in which all spans belong to c.
func ContextWithConnection(ctx context.Context, c *Connection) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// ConnectionOf returns the connection of ctx, or nil.
func ConnectionOf(ctx context.Context) *Connection {
	c, _ := ctx.Value(connectionKey{}).(*Connection)
	return c
}

// Detach returns a context for what a connection does after the request that opened it: it holds the connection and nothing
// else of ctx, no span either, and is never cancelled.
func Detach(ctx context.Context) context.Context {
	if c := ConnectionOf(ctx); c != nil {
		return ContextWithConnection(context.Background(), c)
	}
	return context.Background()
}
