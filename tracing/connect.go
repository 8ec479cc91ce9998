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
)

// Connecting starts the span of a request that opens a connection of this transport. Its parent is the traceparent of
// the request's headers or, as browsers cannot set these, of its query. The context that it returns stands for the
// connection: every span made in it or in what Detach makes of it belongs to the connection. answered ends the span,
// with the status that the request was answered with, and must be called once; 101 and 200 count the connection as open
// until it is given to Disconnected.
func (t *Telemetry) Connecting(r *http.Request, conn *rooms.Conn) (ctx context.Context, answered func(status int)) {
	ctx = propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	if !trace.SpanContextFromContext(ctx).IsValid() {
		q := r.URL.Query()
		ctx = Extract(ctx, rooms.TraceContext{Parent: q.Get("traceparent"), State: q.Get("tracestate")})
	}
	op := &opConnectWS
	if conn.Transport == "socket.io" {
		op = &opConnectSIO
	}
	c := newConnection(conn.ID, conn.Transport)
	attrs := append(requestAttrs(r), keyRoute.text(strings.TrimPrefix(op.span, http.MethodGet+" ")))
	if room := r.PathValue("room_id"); room != "" {
		attrs = append(attrs, keyRoom.text(room))
	}
	if client := r.PathValue("client_id"); client != "" {
		attrs = append(attrs, keyClient.text(client))
	}
	ctx = context.WithValue(ctx, connectionKey{}, c)
	ctx, span := t.tracer.start(ctx, op, attrs...)
	c.link(span.SpanContext())
	return ctx, func(status int) {
		if status == http.StatusSwitchingProtocols || status == http.StatusOK {
			t.metrics.connections.WithLabelValues(conn.Transport).Inc()
		}
		span.answered(status)
	}
}

// Disconnected makes the span of a connection's end, in the context that stands for the connection, and counts it as closed.
// code is that of WebSocket's close frame, 0 for Socket.IO.
func (t *Telemetry) Disconnected(ctx context.Context, conn *rooms.Conn, code int, reason string) {
	attrs := []attr{keyCloseReason.text(reason)}
	if code != 0 {
		attrs = append(attrs, keyCloseCode.int(code))
	}
	_, span := t.tracer.start(ctx, &opDisconnect, attrs...)
	t.metrics.disconnected(conn.Transport, code, reason)
	t.metrics.connections.WithLabelValues(conn.Transport).Dec()
	span.end(nil)
}

// requestAttrs says of a request what the semantic conventions for HTTP servers ask for, as otelhttp does of others.
func requestAttrs(r *http.Request) []attr {
	attrs := make([]attr, 0, 12)
	attrs = append(attrs, keyMethod.text(r.Method), keyPath.text(r.URL.Path), keyScheme.text("http"),
		keyProtocol.text(strings.TrimPrefix(r.Proto, "HTTP/")))
	if r.TLS != nil {
		attrs[2] = keyScheme.text("https")
	}
	if agent := r.UserAgent(); agent != "" {
		attrs = append(attrs, keyAgent.text(agent))
	}
	if host, port, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		attrs = append(attrs, keyAddress.text(host), keyPeer.text(host))
		if n, err := strconv.Atoi(port); err == nil {
			attrs = append(attrs, keyPeerPort.int(n))
		}
	}
	return attrs
}

// answered ends the span of a request that was answered with this status.
func (s *span) answered(status int) {
	if s == nil {
		return
	}
	s.set(keyStatus.int(status))
	if status >= http.StatusInternalServerError {
		s.SetStatus(codes.Error, http.StatusText(status))
	}
	s.end(nil)
}

// Span is for what app does of its own accord, start and drain: it times f as an operation.
func (t *Telemetry) Span(ctx context.Context, drain bool, f func(context.Context) error) error {
	op := &opStart
	if drain {
		op = &opDrain
	}
	ctx, span := t.tracer.start(ctx, op)
	err := f(ctx)
	span.end(err)
	return err
}
