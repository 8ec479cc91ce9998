package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/rooms/relay"
	"github.com/traceroom/traceroom/rooms/store"
	"github.com/traceroom/traceroom/tracing"
	"github.com/traceroom/traceroom/web"
	"github.com/traceroom/traceroom/web/page"
)

// maxHeader is the largest size in bytes of a request line and headers together.
const maxHeader = 16 << 10

// defaultRooms exist from the start.
var defaultRooms = []struct{ id, name string }{{"general", "General"}, {"go", "Go"}, {"random", "Random"}}

// Run serves until ctx is cancelled, and then drains.
func (s *serve) Run(ctx context.Context, out *streams) (err error) {
	defer manageMemory()()
	log, closeLog := newLog(out.stderr)
	stop := &stopping{log: log}
	defer func() {
		ctx, cancel := stop.until(stopLog)
		defer cancel()
		closeLog(ctx)
	}()
	traces, err := s.newTraceLog(out.stdout, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop.part("trace log", stopTraceLog, traces.close)) }()
	telemetry, err := tracing.New(context.WithoutCancel(ctx), tracing.Config{
		ServiceName: "traceroom", Version: version, TraceLog: traces.out(), TraceText: s.TraceText, LiveTraces: s.LiveTraces,
		Log: log, Getenv: os.Getenv,
	})
	if err != nil {
		return &unusableEnvError{err}
	}
	defer func() {
		err = errors.Join(err, stop.part("telemetry", stopTelemetry, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, exportTimeout)
			defer cancel()
			if failed := telemetry.Shutdown(ctx); failed != nil {
				log.Warn("some spans could not be exported", zap.Error(failed))
			}
			return nil
		}))
	}()
	if traces.logWriter != nil {
		for _, sink := range traces.sinks {
			telemetry.TraceLinesLost(sink.name, sink.lost.Load)
		}
	}
	node := &node{config: s, log: log, telemetry: telemetry}
	err = telemetry.Span(ctx, false, node.start)
	if err == nil {
		err = node.serve(ctx)
	}
	return errors.Join(err, telemetry.Span(context.Background(), true, func(context.Context) error { return node.drain(stop) }))
}

// node holds the parts of a running server, in the order in which they are started. drain ends them in reverse order.
type node struct {
	config    *serve
	log       *zap.Logger
	telemetry *tracing.Telemetry

	store    rooms.Store
	claim    *store.Claim // nil if the database needs none
	relay    rooms.Relay
	presence rooms.Presence // nil if there are no other nodes
	hub      atomic.Pointer[rooms.Hub]
	web      *web.Server
	http     *http.Server
	handler  atomic.Pointer[http.Handler] // nil while the node is starting
	failed   chan error                   // receives the error that ended http
	listener net.Listener
}

// start starts all parts. After an error, drain ends those that were started.
func (n *node) start(ctx context.Context) (err error) {
	s := n.config
	// The port comes first: the most likely error is that it is in use.
	n.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.Addr)
	if err != nil {
		return &unusableError{"addr", "ADDR", s.Addr, "HOST:PORT with a free port", err}
	}
	n.http = &http.Server{
		Handler:           http.HandlerFunc(n.answer),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    maxHeader - 4096, // net/http adds 4096
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          zap.NewStdLog(n.log),
	}
	n.failed = make(chan error, 1)
	go func() { n.failed <- n.http.Serve(web.Listener(n.listener, s.StallTimeout)) }()
	began := time.Now()
	opts := store.Options{
		BatchCommitted: n.telemetry.BatchStored,
		Failed:         func(err error) { n.log.Error("store", zap.Error(err)) },
		Wait:           s.StartupTimeout,
	}
	if postgres(s.Database) {
		opts.Tracer = n.telemetry.SQL()
	}
	db, err := store.Open(ctx, s.Database, opts)
	if err != nil {
		return &unusableError{"database", "DATABASE_URL", redacted(s.Database), "sqlite://PATH of a writable file, or postgres://…", err}
	}
	n.store = n.telemetry.Store(db, s.databaseSystem())
	if postgres(s.Database) {
		if err := n.claimDatabase(ctx, db, s.StartupTimeout-time.Since(began)); err != nil {
			return err
		}
	}
	var local rooms.Relay = &relay.Local{}
	if s.NATS != "" {
		if local, err = n.join(ctx, db, s.StartupTimeout-time.Since(began)); err != nil {
			return err
		}
	}
	n.relay = n.telemetry.Relay(local)
	hub, err := rooms.NewHub(ctx, rooms.Config{
		Store: n.store, Relay: n.relay, Presence: n.presence, Hooks: n.telemetry.Hooks(), Limits: s.roomLimits(),
	})
	if err != nil {
		return fmt.Errorf("reading the rooms: %w", err)
	}
	n.hub.Store(hub)
	n.telemetry.Counts(hub.Counts)
	service := n.telemetry.Service(hub)
	if err := n.createRooms(ctx, hub); err != nil {
		return err
	}
	n.web = web.New(web.Config{
		Service: service, Page: page.Handler(page.Config{JaegerUI: s.JaegerUI, Refuse: web.Refuse}), Metrics: n.telemetry.MetricsHandler(),
		Traces: n.telemetry.Live(), Log: n.log, Version: version, Limits: s.webLimits(),
		Connecting: n.telemetry.Connecting, Disconnected: n.telemetry.Disconnected,
	})
	n.http.RegisterOnShutdown(n.telemetry.Live().EndViews)
	handler := web.Bounded(n.telemetry.HTTP(n.web.Handler(), n.web.Route, func(r *http.Request) bool {
		return web.IsSocket(r) || web.IsView(r) || web.IsProbe(r) && !s.TraceProbes
	}), n.telemetry.Refused)
	n.handler.Store(&handler)
	return nil
}

// createRooms creates the default rooms. Those that the limit of rooms leaves no room for are skipped with a warning: the
// server works without them.
func (n *node) createRooms(ctx context.Context, hub *rooms.Hub) error {
	for _, room := range defaultRooms {
		switch _, _, err := hub.CreateRoom(ctx, room.id, room.name); {
		case err == nil:
		case rooms.AsError(err).Code == rooms.CodeLimit:
			n.log.Warn("a default room is not created: there are as many rooms as --max-rooms (MAX_ROOMS) allows",
				zap.String("room_id", room.id), zap.Int("max_rooms", n.config.MaxRooms))
		default:
			return fmt.Errorf("creating room %s: %w", room.id, err)
		}
	}
	return nil
}

// answer serves a request. While the node is starting, which may mean waiting for PostgreSQL or NATS, it answers 503, so that
// load balancers use other nodes.
func (n *node) answer(w http.ResponseWriter, r *http.Request) {
	if handler := n.handler.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	if strings.TrimRight(r.URL.Path, "/") == "/readyz" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"starting"}`+"\n")
		return
	}
	web.Refuse(w, http.StatusServiceUnavailable, "the server is starting")
}

// serve answers requests until ctx is cancelled.
func (n *node) serve(ctx context.Context) error {
	n.web.Ready(true)
	n.log.Info("listening", zap.String("addr", n.listener.Addr().String()), zap.String("version", version))
	select {
	case err := <-n.failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
		n.log.Info("draining")
		return nil
	}
}
