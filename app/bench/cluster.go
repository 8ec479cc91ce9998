//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/proc"
	"github.com/traceroom/traceroom/app/bench/stats"
	"github.com/traceroom/traceroom/rooms/relay/natstest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
)

// The load of the scenario. The members of each room are distributed over all nodes.
const (
	clusterRooms   = 30
	clusterMembers = 12
	clusterSenders = 6
	clusterNodes   = 3
)

// failure is what Fatal and Fatalf of a trial panic with; cluster recovers it.
type failure struct{ text string }

// trial stands for a testing.TB, for packages that start servers for tests.
type trial struct {
	dir      string
	cleanups []func()
}

func (t *trial) Helper()                           {}
func (t *trial) Fatal(args ...any)                 { panic(failure{fmt.Sprint(args...)}) }
func (t *trial) Fatalf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }
func (t *trial) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *trial) TempDir() string                   { return t.dir }

func (t *trial) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}

// runNATS runs a NATS server until ctx is cancelled.
func runNATS(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "traceroom-bench-nats-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := &trial{dir: dir}
	defer t.end()
	s := natstest.Start(t)
	fmt.Println("listening on", s.Address())
	<-ctx.Done()
	return nil
}

// cluster measures what a message costs with one to three nodes that share PostgreSQL, and how many there are a second.
func (b *bench) cluster(ctx context.Context) (err error) {
	t := &trial{}
	defer t.end()
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("PostgreSQL: %s", f.text)
		}
	}()
	// As in production, a transaction waits for the disk.
	pg := pgtest.Start(t, "fsync=on")
	runs := make([]series, clusterNodes+1)
	for round := range b.opt.rounds {
		for n := 1; n <= clusterNodes; n++ {
			b.say("cluster: round %d of %d, %d nodes", round+1, b.opt.rounds, n)
			out, err := b.measureCluster(ctx, pg, pg.Database(t), n)
			if err != nil {
				return err
			}
			b.note(own("traceroom"), out)
			runs[n] = append(runs[n], out)
		}
	}
	b.printCluster(runs)
	return nil
}

func (b *bench) measureCluster(ctx context.Context, pg *pgtest.Server, database string, n int) (out outcome, err error) {
	l := b.lab
	l.runs++
	dir := filepath.Join(l.dir, fmt.Sprintf("%03d-cluster", l.runs))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return out, err
	}
	defer os.RemoveAll(dir)
	before, err := l.counts(ctx)
	if err != nil {
		return out, err
	}
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	plan := load.Plan{Do: "fanout", Prefix: "bench", Rooms: clusterRooms, Members: clusterMembers, Senders: clusterSenders, Inflight: 1,
		Ack: load.AckEcho, Dialect: load.Chat, Dialers: 8, Warmup: b.opt.warmup, Measure: b.opt.window,
		CollectorPID: l.traces.PID(), Families: []int{pg.PID()}}
	natsURL := ""
	if n > 1 { // one node needs no NATS
		nats, err := proc.Start(proc.Command{Path: l.built.Self, Args: []string{"nats"}, Core: l.cores.clients})
		if err != nil {
			return out, err
		}
		defer nats.Stop(5 * time.Second)
		addr, err := nats.Await(starting, after("listening on "))
		if err != nil {
			return out, fmt.Errorf("NATS: %w", err)
		}
		natsURL = "nats://" + addr
		plan.Families = append(plan.Families, nats.PID())
	}
	var nodes []*peers.Running
	stopped := false
	stop := func() {
		if !stopped {
			for _, node := range nodes {
				node.Stop(15 * time.Second)
			}
			stopped = true
		}
	}
	defer stop()
	for i := range n {
		at := peers.Place{Dir: filepath.Join(dir, fmt.Sprint(i)), Core: nodeCore(i), Collector: l.otlp, Built: l.built}
		if err := os.Mkdir(at.Dir, 0o755); err != nil {
			return out, err
		}
		node, err := peers.Node(starting, at, database, natsURL)
		if err != nil {
			return out, fmt.Errorf("node %d: %w", i+1, err)
		}
		nodes = append(nodes, node)
		if i == 0 {
			plan.Addr, plan.ServerPID = node.Addr, node.PID()
		} else {
			plan.More = append(plan.More, load.Server{Addr: node.Addr, PID: node.PID()})
		}
	}
	if out.Result, err = l.load(ctx, plan); err != nil {
		return out, fmt.Errorf("%d nodes: %w\n%s", n, err, nodes[0].Output())
	}
	for _, node := range nodes {
		out.CaughtUp += metric(ctx, node.Addr, "traceroom_relay_caught_up_total")
	}
	stop()
	now, err := l.counts(ctx)
	if err != nil {
		return out, err
	}
	out.Spans = now.Spans - before.Spans
	return out, nil
}

// nodeCore returns the core of node i: never the first, which is the clients', unless it is the only one.
func nodeCore(i int) int {
	cores := runtime.NumCPU()
	if cores < 2 {
		return 0
	}
	return cores - 1 - i%(cores-1)
}

func (b *bench) printCluster(runs []series) {
	b.print("### Several nodes\n")
	b.print("%d rooms of %d members distributed over all nodes, %d of whom send, one message at a time; one PostgreSQL that waits for its disk. Medians of %d rounds of %v.\n",
		clusterRooms, clusterMembers, clusterSenders, b.opt.rounds, b.opt.window)
	t := table{head: []string{"nodes", "messages/s", "deliveries/s", "nodes' CPU per message", "per delivery", "PostgreSQL's per message", "NATS's per message", "nodes' CPU", "all CPU", "read from the store", "lost"}}
	perMessage := func(used time.Duration, o outcome) float64 { return used.Seconds() * 1e6 / float64(o.Messages) }
	for n := 1; n < len(runs); n++ {
		s := runs[n]
		nats := "-"
		if n > 1 {
			nats = figure(s.median(func(o outcome) float64 { return perMessage(o.FamilyCPU[1], o) })) + " µs"
		}
		t.add(fmt.Sprint(n),
			figure(s.median(outcome.messageRate)),
			figure(s.median(func(o outcome) float64 { return float64(o.Deliveries) / o.Seconds })),
			figure(s.median(func(o outcome) float64 { return perMessage(o.ServerCPU, o) }))+" µs",
			figure(stats.Median(s.cost()))+" µs",
			figure(s.median(func(o outcome) float64 { return perMessage(o.FamilyCPU[0], o) }))+" µs",
			nats,
			percent(s.median(outcome.serverLoad)),
			percent(s.median(func(o outcome) float64 {
				all := o.ServerCPU + o.ClientCPU + o.OtherCPU
				for _, used := range o.FamilyCPU {
					all += used
				}
				return all.Seconds() / o.Seconds
			})),
			fmt.Sprint(s.median(func(o outcome) float64 { return o.CaughtUp })), lost(s))
	}
	b.table(t)
	if cores := runtime.NumCPU(); cores < clusterNodes+3 {
		b.print("This machine has %d cores for the nodes, PostgreSQL, NATS, the clients and the receiver of traces together: the table shows what each of them costs, not how throughput grows if each node has cores of its own.\n", cores)
	}
}
