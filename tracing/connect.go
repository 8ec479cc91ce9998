package tracing

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// Connecting starts the span of a request that opens a connection of this transport. Its parent is the traceparent of
// the request's headers or, as browsers cannot set these, of its query. Every span that is started in the context that it
// returns, or in what span.Detach makes of it, belongs to the connection. answered ends the span with the status of the
// request's answer and must be called once; after 101 and 200 the connection counts as open until Disconnected is called.
func (t *Telemetry) Connecting(r *http.Request, conn *rooms.Conn) (ctx context.Context, answered func(status int)) {
	ctx = span.Propagator{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if !trace.SpanContextFromContext(ctx).IsValid() {
		q := r.URL.Query()
		ctx = span.Extract(ctx, q.Get("traceparent"), q.Get("tracestate"))
	}
	op := opConnectWS
	if conn.Transport == "socket.io" {
		op = opConnectSIO
	}
	c := newConnection(conn.ID, conn.Transport)
	attrs := append(requestAttrs(r), keyRoute.Of(strings.TrimPrefix(op.Name, http.MethodGet+" ")))
	if room := r.PathValue("room_id"); room != "" {
		attrs = append(attrs, keyRoom.Of(room))
	}
	if client := r.PathValue("client_id"); client != "" {
		attrs = append(attrs, keyClient.Of(client))
	}
	ctx = span.ContextWithConnection(ctx, c)
	ctx, sp := t.tracer.Start(ctx, op, attrs...)
	c.Link(sp.SpanContext())
	return ctx, func(status int) {
		if status == http.StatusSwitchingProtocols || status == http.StatusOK {
			t.metrics.connections.WithLabelValues(conn.Transport).Inc()
		}
		endRequest(sp, status)
	}
}

// Disconnected makes the span of a connection's end, in the context that stands for the connection, and counts it as closed.
// code is that of WebSocket's close frame, 0 for Socket.IO.
func (t *Telemetry) Disconnected(ctx context.Context, conn *rooms.Conn, code int, reason string) {
	attrs := []span.Attr{keyCloseReason.Of(reason)}
	if code != 0 {
		attrs = append(attrs, keyCloseCode.Int(code))
	}
	_, sp := t.tracer.Start(ctx, opDisconnect, attrs...)
	t.metrics.disconnected(conn.Transport, code, reason)
	t.metrics.connections.WithLabelValues(conn.Transport).Dec()
	sp.Finish(nil)
}

// requestAttrs returns the attributes that the semantic conventions ask of an HTTP request's span, as otelhttp sets them.
func requestAttrs(r *http.Request) []span.Attr {
	attrs := make([]span.Attr, 0, 12)
	attrs = append(attrs, keyMethod.Of(r.Method), keyPath.Of(r.URL.Path), keyScheme.Of("http"),
		keyProtocol.Of(strings.TrimPrefix(r.Proto, "HTTP/")))
	if r.TLS != nil {
		attrs[2] = keyScheme.Of("https")
	}
	if agent := r.UserAgent(); agent != "" {
		attrs = append(attrs, keyAgent.Of(agent))
	}
	if host, port, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		attrs = append(attrs, keyAddress.Of(host), keyPeer.Of(host))
		if n, err := strconv.Atoi(port); err == nil {
			attrs = append(attrs, keyPeerPort.Int(n))
		}
	}
	return attrs
}

// endRequest ends the span of a request that was answered with this status.
func endRequest(sp *span.Span, status int) {
	if sp == nil {
		return
	}
	sp.Set(keyStatus.Int(status))
	if status >= http.StatusInternalServerError {
		sp.SetStatus(codes.Error, http.StatusText(status))
	}
	sp.Finish(nil)
}

// Span runs f within a span: that of the start of the program, or that of its drain.
func (t *Telemetry) Span(ctx context.Context, drain bool, f func(context.Context) error) error {
	op := opStart
	if drain {
		op = opDrain
	}
	ctx, sp := t.tracer.Start(ctx, op)
	err := f(ctx)
	sp.Finish(err)
	return err
}
