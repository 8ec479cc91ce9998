package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/web"
)

// serve is the command that runs the server; its fields are its flags.
type serve struct {
	Addr        string `env:"ADDR" default:":8000" placeholder:"HOST:PORT" help:"Address to listen on; port 0 takes a free one."`
	Database    string `env:"DATABASE_URL" default:"sqlite://traceroom.db" placeholder:"URL" help:"Where messages are kept: sqlite://PATH or postgres://… (sqlite://:memory: forgets them when the program ends)."`
	NATS        string `env:"NATS_URL" name:"nats" placeholder:"URL" help:"NATS server through which the nodes that share a PostgreSQL database reach each other: nats://HOST:PORT; several separated by commas."`
	TraceLog    string `env:"TRACE_LOG" default:"traceroom.jsonl" placeholder:"PATH" help:"File of the trace log, rotated at 10 MB; off for none."`
	TraceStdout bool   `env:"TRACE_STDOUT" default:"true" negatable:"" help:"Also write the trace log to standard output."`
	TraceText   bool   `env:"TRACE_TEXT" default:"false" help:"Put messages' text into the trace log."`
	TraceProbes bool   `env:"TRACE_PROBES" default:"false" help:"Also trace requests for /health, /readyz and /metrics."`
	JaegerUI    string `env:"JAEGER_UI_URL" name:"jaeger-ui" placeholder:"URL" help:"Jaeger's address for browsers; the page then links messages to their traces there."`
	SendRate    int    `env:"SEND_RATE" default:"50" placeholder:"N" help:"Messages a second that one connection may send, with bursts of four times that; 0: no limit."`

	LiveTraces     int           `env:"LIVE_TRACES" default:"500" placeholder:"N" help:"How many of the newest traces of messages are kept in memory for the page and GET /traces, and half as many of connections and of other requests; 0: none."`
	StartupTimeout time.Duration `env:"STARTUP_TIMEOUT" default:"30s" placeholder:"DURATION" help:"How long to wait at start for PostgreSQL, for NATS, and for another process that uses the database without NATS."`
	MaxFrame       int64         `env:"MAX_FRAME" default:"65536" placeholder:"BYTES" help:"Largest frame accepted from a client."`
	MaxConnections int           `env:"MAX_CONNECTIONS" default:"20000" placeholder:"N" help:"Connections that may be open at once, of all transports together."`
	MaxRooms       int           `env:"MAX_ROOMS" default:"10000" placeholder:"N" help:"Rooms that may exist."`
	QueueLength    int           `env:"QUEUE_LENGTH" default:"1024" placeholder:"N" help:"Events that may wait for one connection; a connection that falls further behind is closed with 4008."`
	QueueBytes     int           `env:"QUEUE_BYTES" default:"524288" placeholder:"BYTES" help:"The same in bytes."`
	StallTimeout   time.Duration `env:"STALL_TIMEOUT" default:"15s" placeholder:"DURATION" help:"How long a client may read nothing while data waits for it; then its connection is closed."`
	PingInterval   time.Duration `env:"PING_INTERVAL" default:"25s" placeholder:"DURATION" help:"Time between pings; a connection that answers nothing for two intervals is closed."`
}

// unusableError reports a flag whose value cannot be used.
type unusableError struct {
	flag, env, value, takes string
	cause                   error
}

func (e *unusableError) Error() string {
	text := fmt.Sprintf("--%s (%s): cannot use %q: it takes %s", e.flag, e.env, e.value, e.takes)
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

func (e *unusableError) Unwrap() error { return e.cause }

// unusableEnvError reports an OpenTelemetry environment variable whose value cannot be used; the cause names it.
type unusableEnvError struct{ cause error }

func (e *unusableEnvError) Error() string { return e.cause.Error() }

func (e *unusableEnvError) Unwrap() error { return e.cause }

// Validate is called by kong. It checks the values without using them.
func (s *serve) Validate() error {
	if _, _, err := net.SplitHostPort(s.Addr); err != nil {
		return &unusableError{"addr", "ADDR", s.Addr, "HOST:PORT, such as :8000 or 127.0.0.1:0", err}
	}
	if s.JaegerUI != "" {
		if u, err := url.Parse(s.JaegerUI); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return &unusableError{"jaeger-ui", "JAEGER_UI_URL", s.JaegerUI, "an http or https address, such as http://localhost:16686", nil}
		}
	}
	if s.NATS != "" && !postgres(s.Database) {
		return &unusableError{"nats", "NATS_URL", redacted(s.NATS), "--database (DATABASE_URL) to be postgres://…: nodes share their messages", nil}
	}
	if s.StartupTimeout < 0 {
		return &unusableError{"startup-timeout", "STARTUP_TIMEOUT", s.StartupTimeout.String(), "a duration from 0s, such as 30s", nil}
	}
	for _, limit := range []struct {
		flag, env string
		value     int64
		least     int64
	}{
		{"send-rate", "SEND_RATE", int64(s.SendRate), 0},
		{"live-traces", "LIVE_TRACES", int64(s.LiveTraces), 0},
		{"max-frame", "MAX_FRAME", s.MaxFrame, 1024},
		{"max-connections", "MAX_CONNECTIONS", int64(s.MaxConnections), 1},
		{"max-rooms", "MAX_ROOMS", int64(s.MaxRooms), 1},
		{"queue-length", "QUEUE_LENGTH", int64(s.QueueLength), 1},
		{"queue-bytes", "QUEUE_BYTES", int64(s.QueueBytes), 1},
	} {
		if limit.value < limit.least {
			return &unusableError{limit.flag, limit.env, fmt.Sprint(limit.value), fmt.Sprintf("a number from %d", limit.least), nil}
		}
	}
	if s.PingInterval < time.Second/10 {
		return &unusableError{"ping-interval", "PING_INTERVAL", s.PingInterval.String(), "a duration from 100ms, such as 25s", nil}
	}
	if s.StallTimeout < time.Second/10 {
		return &unusableError{"stall-timeout", "STALL_TIMEOUT", s.StallTimeout.String(), "a duration from 100ms, such as 15s", nil}
	}
	return nil
}

// postgres reports whether the URL of a database is of PostgreSQL, which nodes can share.
func postgres(database string) bool {
	return strings.HasPrefix(database, "postgres://") || strings.HasPrefix(database, "postgresql://")
}

// databaseSystem returns the database's name in OpenTelemetry's semantic conventions.
func (s *serve) databaseSystem() string {
	if postgres(s.Database) {
		return "postgresql"
	}
	return "sqlite"
}

func (s *serve) webLimits() web.Limits {
	return web.Limits{
		Connections: s.MaxConnections, Frame: s.MaxFrame, Queue: s.QueueLength, QueueBytes: s.QueueBytes, SendRate: s.SendRate,
		PingInterval: s.PingInterval, Stall: s.StallTimeout,
	}
}

func (s *serve) roomLimits() rooms.Limits { return rooms.Limits{Rooms: s.MaxRooms} }
