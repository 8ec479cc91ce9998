//go:build linux

package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/proc"
)

// Peer is a server to measure.
type Peer struct {
	Name  string // for flags
	Title string // for tables
	// Dialect is what those speak who send, Silent what all others do (the same if empty).
	Dialect, Silent load.Dialect
	// PerMessage and PerMember are the spans that it makes of one message and of one member that comes and goes; 0 if
	// it is not traced.
	PerMessage, PerMember int64

	start func(context.Context, Place) (*Running, error)
}

// Place is where a peer runs.
type Place struct {
	Dir       string // its own, empty
	Core      int
	Collector string // OTLP endpoint, without a path
	Built     Built
}

// Built is what Build has made.
type Built struct {
	Self      string // this program, which is also the floor
	Gorilla   string
	Traceroom string
	Node      string // the interpreter
	Script    string // what it runs
}

// Running is a peer that serves.
type Running struct {
	*proc.Process
	Addr string // host:port
}

// Start starts the peer and waits until it serves. The caller must call Stop.
func (p Peer) Start(ctx context.Context, at Place) (*Running, error) {
	r, err := p.start(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}

// All returns the peers in the order in which tables have them.
//
// Traceroom makes receive, append, broadcast and deliver of a message; and of a member connect, join and leave, each of
// the latter two with a broadcast and a deliver, and disconnect. The Node server makes a receive and a send of a message,
// and of a member two receives (connection, join) and a send (joined).
func All() []Peer {
	return []Peer{
		{Name: "floor", Title: "floor", Dialect: load.Bare, start: startFloor},
		{Name: "gorilla", Title: "gorilla's chat example", Dialect: load.Bare, start: startGorilla},
		{Name: "node", Title: "Node Socket.IO, OpenTelemetry", Dialect: load.NodeIO, PerMessage: 2, PerMember: 3, start: startNode},
		{Name: "traceroom", Title: "Traceroom, everything on", Dialect: load.Chat, PerMessage: 4, PerMember: 8, start: startTraceroom},
		{Name: "off", Title: "Traceroom, everything off", Dialect: load.Chat, start: startTraceroomOff},
		{Name: "socketio", Title: "Traceroom, everything on, to Socket.IO", Dialect: load.Chat, Silent: load.SocketIO, PerMessage: 4, PerMember: 8, start: startTraceroom},
	}
}

func startFloor(ctx context.Context, at Place) (*Running, error) {
	return startAndAsk(ctx, proc.Command{Path: at.Built.Self, Args: []string{"floor"}, Core: at.Core})
}

// startGorilla picks a port for the example, which cannot say where it listens.
func startGorilla(ctx context.Context, at Place) (*Running, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	p, err := proc.Start(proc.Command{Path: at.Built.Gorilla, Args: []string{"-addr", addr}, Dir: at.Dir, Core: at.Core})
	if err != nil {
		return nil, err
	}
	r := &Running{p, addr}
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return r, c.Close()
		}
		select {
		case <-p.Ended():
			return nil, fmt.Errorf("it ended: %s", p.Output())
		case <-ctx.Done():
			p.Stop(0)
			return nil, err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func startNode(ctx context.Context, at Place) (*Running, error) {
	return startAndAsk(ctx, proc.Command{Path: at.Built.Node, Args: []string{at.Built.Script}, Dir: at.Dir, Core: at.Core,
		Env: []string{"NODE_ENV=production", "OTEL_SERVICE_NAME=nodesocketio", "OTEL_EXPORTER_OTLP_ENDPOINT=" + at.Collector}})
}

func startTraceroom(ctx context.Context, at Place) (*Running, error) {
	return startAndProbe(ctx, traceroom(at, at.Dir+"/trace.jsonl", "OTEL_EXPORTER_OTLP_ENDPOINT="+at.Collector))
}

func startTraceroomOff(ctx context.Context, at Place) (*Running, error) {
	return startAndProbe(ctx, traceroom(at, "off", "OTEL_TRACES_SAMPLER=always_off"))
}

func traceroom(at Place, log, env string) proc.Command {
	return proc.Command{Path: at.Built.Traceroom, Dir: at.Dir, Core: at.Core, Env: []string{env},
		Args: []string{"--addr", "127.0.0.1:0", "--database", "sqlite://" + at.Dir + "/bench.db", "--trace-log", log, "--trace-stdout=false", "--send-rate", "0"}}
}

// Node starts one of several Traceroom nodes that share a PostgreSQL database and a NATS server, and waits until it serves.
func Node(ctx context.Context, at Place, database, nats string) (*Running, error) {
	c := traceroom(at, at.Dir+"/trace.jsonl", "OTEL_EXPORTER_OTLP_ENDPOINT="+at.Collector)
	c.Args = append(c.Args, "--database", database)
	if nats != "" {
		c.Args = append(c.Args, "--nats", nats)
	}
	return startAndProbe(ctx, c)
}

// startAndProbe starts a program that says where it listens and, at /readyz, whether it is ready.
func startAndProbe(ctx context.Context, c proc.Command) (*Running, error) {
	r, err := startAndAsk(ctx, c)
	if err != nil {
		return nil, err
	}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Addr+"/readyz", nil)
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return r, nil
			}
			err = errors.New(res.Status)
		}
		select {
		case <-r.Ended():
			return nil, fmt.Errorf("it ended: %s", r.Output())
		case <-ctx.Done():
			r.Stop(0)
			return nil, fmt.Errorf("/readyz: %w", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// startAndAsk starts a program that says where it listens.
func startAndAsk(ctx context.Context, c proc.Command) (*Running, error) {
	p, err := proc.Start(c)
	if err != nil {
		return nil, err
	}
	addr, err := p.Await(ctx, listening)
	if err != nil {
		p.Stop(0)
		return nil, fmt.Errorf("waiting for where it listens: %w", err)
	}
	return &Running{p, addr}, nil
}

var address = regexp.MustCompile(`(?:127\.0\.0\.1|localhost|\[::1?\]):(\d+)`)

// listening returns the address that a line of a program's output names, as an IPv4 host:port, if it says that the
// program listens there.
func listening(line string) string {
	var entry struct {
		Msg, Message string
		Addr         string
	}
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Addr != "" && strings.HasPrefix(entry.Msg+entry.Message, "listening") {
		line = "listening on " + entry.Addr
	}
	if !strings.Contains(line, "listening") {
		return ""
	}
	if m := address.FindStringSubmatch(line); m != nil {
		return "127.0.0.1:" + m[1]
	}
	return ""
}
