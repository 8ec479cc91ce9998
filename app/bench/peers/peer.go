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
	// Dialect is the protocol of members that send, Silent that of all others (the same if empty).
	Dialect, Silent load.Dialect
	// PerMessage and PerMember are how many spans it makes for one message, and for one member that joins and leaves; 0 if it
	// is not traced.
	PerMessage, PerMember int64

	start func(context.Context, Place) (*Running, error)
}

// Place says where and with what a peer runs.
type Place struct {
	Dir       string // an empty directory of its own
	Core      int
	Collector string // OTLP endpoint, without a path
	Built     Built
}

// Built is the result of Build.
type Built struct {
	Self      string // this program, which is also the floor
	Gorilla   string
	Traceroom string
	Node      string // the interpreter
	Script    string // of the Node peer
}

// Running is a peer that accepts connections.
type Running struct {
	*proc.Process
	Addr string // host:port
}

// Start starts the peer and waits until it accepts connections. The caller must call Stop.
func (p Peer) Start(ctx context.Context, at Place) (*Running, error) {
	r, err := p.start(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}

// All returns the peers in the order of the tables.
//
// For a message Traceroom makes the spans receive, append, broadcast and deliver; for a member connect, join and leave, each of the
// last two with a broadcast and a deliver, and disconnect. The Node server makes a receive and a send for a message; for a member
// two receives (connection, join) and a send (joined).
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

// startGorilla picks a port for the example, which does not report where it listens.
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

// Node starts one of several Traceroom nodes that share a PostgreSQL database and a NATS server, and waits until it is ready. nats
// is empty if there is one node only.
func Node(ctx context.Context, at Place, database, nats string) (*Running, error) {
	c := traceroom(at, at.Dir+"/trace.jsonl", "OTEL_EXPORTER_OTLP_ENDPOINT="+at.Collector)
	c.Args = append(c.Args, "--database", database)
	if nats != "" {
		c.Args = append(c.Args, "--nats", nats)
	}
	return startAndProbe(ctx, c)
}

// startAndProbe starts a program that reports where it listens, and waits until GET /readyz answers 200.
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

// startAndAsk starts a program and waits until it reports where it listens.
func startAndAsk(ctx context.Context, c proc.Command) (*Running, error) {
	p, err := proc.Start(c)
	if err != nil {
		return nil, err
	}
	addr, err := p.Await(ctx, listening)
	if err != nil {
		p.Stop(0)
		return nil, fmt.Errorf("waiting for the address that it listens on: %w", err)
	}
	return &Running{p, addr}, nil
}

var address = regexp.MustCompile(`(?:127\.0\.0\.1|localhost|\[::1?\]):(\d+)`)

// listening returns the IPv4 host:port in a line of a program's output that reports where the program listens, and otherwise an
// empty string.
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
