//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/traceroom/traceroom/app/bench/collector"
	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/proc"
)

// lab runs measurements: it has the directories, the cores and the receiver of traces. It is used by one goroutine.
type lab struct {
	dir    string // temporary; has a directory for each server that is started
	built  peers.Built
	cores  cores
	traces *proc.Process
	otlp   string // the receiver's address, http://host:port
	during string // a shell command to run beside each server
	runs   int

	watched bool // a viewer watches the live traces of each server
}

// cores assigns cores to processes.
type cores struct{ server, clients, collector int }

func assign() cores {
	n := runtime.NumCPU()
	return cores{server: n - 1, clients: 0, collector: min(1, max(n-2, 0))}
}

func newLab(ctx context.Context, dir string, built peers.Built) (*lab, error) {
	l := &lab{dir: dir, built: built, cores: assign()}
	var err error
	l.traces, err = proc.Start(proc.Command{Path: built.Self, Args: []string{"collector"}, Core: l.cores.collector})
	if err != nil {
		return nil, err
	}
	addr, err := l.traces.Await(ctx, after("listening on "))
	if err != nil {
		l.close()
		return nil, fmt.Errorf("receiver of traces: %w", err)
	}
	l.otlp = "http://" + addr
	return l, nil
}

func (l *lab) close() { l.traces.Stop(2 * time.Second) }

// outcome is the result of one run of one server.
type outcome struct {
	load.Result

	Spans    int64         // spans that arrived
	Expected int64         // spans that the messages and members should have made
	Dropped  float64       // traceroom_spans_dropped_total; -1 if the server has no such metric
	CaughtUp float64       // with several nodes: messages that they had to read from the store
	Ready    time.Duration // from the start of the process until it was ready
}

// perDelivery returns the server's CPU time for each message that one member got, in microseconds.
func (o outcome) perDelivery() float64 { return o.ServerCPU.Seconds() * 1e6 / float64(o.Deliveries) }

// messageRate returns how many messages were sent per second.
func (o outcome) messageRate() float64 { return float64(o.Messages) / o.Seconds }

// serverLoad returns the share of a core that the server used.
func (o outcome) serverLoad() float64 { return o.ServerCPU.Seconds() / o.Seconds }

// others returns the share of a core that other programs used meanwhile, at least 0: the kernel counts the whole machine's CPU time
// in coarser steps than that of a process, so the difference may be slightly negative.
func (o outcome) others() float64 { return max(o.OtherCPU.Seconds()/o.Seconds, 0) }

// right reports whether every member got every message once and in the same order.
func (o outcome) right() bool {
	return o.Lost == 0 && o.Misplaced == 0 && o.Damaged == 0 && o.Closed == 0
}

// measure starts the peer in a new directory, runs the plan against it, stops it, and counts the spans that it sent.
func (l *lab) measure(ctx context.Context, p peers.Peer, plan load.Plan) (outcome, error) {
	l.runs++
	dir := filepath.Join(l.dir, fmt.Sprintf("%03d-%s", l.runs, p.Name))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	return l.measureIn(ctx, dir, p, plan)
}

// measureIn is measure in an existing directory, whose files the peer may use.
func (l *lab) measureIn(ctx context.Context, dir string, p peers.Peer, plan load.Plan) (out outcome, err error) {
	before, err := l.counts(ctx)
	if err != nil {
		return out, err
	}
	begin := time.Now()
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	srv, err := p.Start(starting, peers.Place{Dir: dir, Core: l.cores.server, Collector: l.otlp, Built: l.built})
	cancel()
	if err != nil {
		return out, err
	}
	out.Ready = time.Since(begin)
	stopped := false
	stop := func() {
		if !stopped {
			srv.Stop(15 * time.Second)
			stopped = true
		}
	}
	defer stop()

	plan.Addr, plan.ServerPID, plan.CollectorPID = srv.Addr, srv.PID(), l.traces.PID()
	plan.Dialect, plan.Silent = p.Dialect, p.Silent
	if plan.Prefix == "" {
		plan.Prefix = "bench"
	}
	if plan.Dialers == 0 {
		plan.Dialers = 8
	}
	wait := l.beside(ctx, srv.PID())
	unwatch, err := l.watching(ctx, srv.Addr)
	if err != nil {
		return out, fmt.Errorf("%s: %w", p.Name, err)
	}
	out.Result, err = l.load(ctx, plan)
	if watchErr := unwatch(); err == nil && watchErr != nil {
		return out, fmt.Errorf("%s: viewer: %w", p.Name, watchErr)
	}
	if err != nil {
		return out, fmt.Errorf("%s: %w\n%s", p.Name, err, srv.Output())
	}
	if err := wait(); err != nil {
		return out, fmt.Errorf("%s: %w", l.during, err)
	}
	out.Dropped = -1
	if p.PerMessage > 0 {
		out.Dropped = dropped(ctx, srv.Addr)
	}
	stop()
	now, err := l.counts(ctx)
	if err != nil {
		return out, err
	}
	if now.Rejected > before.Rejected {
		return out, fmt.Errorf("%s: the receiver of traces rejected %d requests", p.Name, now.Rejected-before.Rejected)
	}
	out.Spans = now.Spans - before.Spans
	out.Expected = p.PerMessage*(out.Sent+out.Syncs) + p.PerMember*out.Members
	return out, nil
}

// beside starts the command that -during names. The returned function waits for its end.
func (l *lab) beside(ctx context.Context, pid int) (wait func() error) {
	if l.during == "" {
		return func() error { return nil }
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", l.during)
	cmd.Env = append(os.Environ(), fmt.Sprintf("PID=%d", pid))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		return func() error { return err }
	}
	return cmd.Wait
}

// load runs the plan in the clients' process.
func (l *lab) load(ctx context.Context, plan load.Plan) (res load.Result, err error) {
	arg, err := json.Marshal(plan)
	if err != nil {
		return res, err
	}
	clients, err := proc.Start(proc.Command{Path: l.built.Self, Args: []string{"load", string(arg)}, Core: l.cores.clients})
	if err != nil {
		return res, err
	}
	defer clients.Stop(2 * time.Second)
	line, err := clients.Await(ctx, after(resultMark))
	if err != nil {
		return res, fmt.Errorf("clients: %w", err)
	}
	return res, json.Unmarshal([]byte(line), &res)
}

// after returns a function that returns the rest of a line that begins with mark, and otherwise an empty string.
func after(mark string) func(line string) string {
	return func(line string) string {
		if rest, ok := strings.CutPrefix(line, mark); ok {
			return rest
		}
		return ""
	}
}

func (l *lab) counts(ctx context.Context) (c collector.Counts, err error) {
	res, err := get(ctx, l.otlp+"/counts")
	if err != nil {
		return c, err
	}
	defer res.Body.Close()
	return c, json.NewDecoder(res.Body).Decode(&c)
}

// dropped asks a server how many spans it could not export; -1 if it has no such metric.
func dropped(ctx context.Context, addr string) float64 {
	return metric(ctx, addr, "traceroom_spans_dropped_total")
}

// metric asks a server for a metric and returns the sum of its series; -1 if there are none.
func metric(ctx context.Context, addr, want string) float64 {
	res, err := get(ctx, "http://"+addr+"/metrics")
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if base, _, _ := strings.Cut(name, "{"); ok && base == want {
			if v, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				sum, found = sum+v, true
			}
		}
	}
	if !found {
		return -1
	}
	return sum
}

func get(ctx context.Context, url string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = cancelling{res.Body, cancel}
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		return nil, errors.New(url + ": " + res.Status)
	}
	return res, nil
}

// cancelling cancels a request's context when its body is closed.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c cancelling) Close() error { defer c.cancel(); return c.ReadCloser.Close() }
