//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/proc"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if known, err := role(ctx, args); known {
		return err
	}
	opt, err := parse(args)
	if err != nil {
		return err
	}
	if err := proc.RaiseFileLimit(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "traceroom-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{opt: opt, out: os.Stdout, log: os.Stderr}
	if err := b.prepare(ctx, dir); err != nil {
		return err
	}
	defer b.lab.close()
	return b.all(ctx)
}

// scenarios are what can be measured, in the order in which it is measured.
var scenarios = []struct {
	name, about string
	run         func(*bench, context.Context) error
}{
	{"fanout", "CPU per delivery in one room, all servers", (*bench).fanout},
	{"viewer", "what a viewer of the live traces adds to a delivery", (*bench).viewer},
	{"refs", "messages with a ref against messages without", (*bench).refs},
	{"rooms", "100 rooms of 4 against one room of 4", (*bench).rooms},
	{"latency", "delivery latency at half of the highest sustained rate", (*bench).latency},
	{"idle", "memory of idle connections", (*bench).idle},
	{"history", "start and join with many stored messages", (*bench).history},
	{"steady", "memory at a steady rate", (*bench).steady},
	{"cluster", "one to three nodes on one PostgreSQL", (*bench).cluster},
	{"churn", "memory after a room has filled and emptied many times", (*bench).churn},
}

// options are the options of the command line.
type options struct {
	only, servers []string
	sizes         []int
	quick         bool
	rounds        int
	window        time.Duration
	warmup        time.Duration

	binary            string
	senders, inflight int
	ack               load.Ack
	spin              bool
	during            string
	patience          time.Duration

	steady      time.Duration
	connections int
	messages    int
	cycles      int
}

func parse(args []string) (opt options, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	only := fs.String("only", strings.Join(names, ","), "scenarios to measure, see below")
	servers := fs.String("servers", "floor,gorilla,node,traceroom,off,socketio", "servers to compare in the fan-out")
	sizes := fs.String("sizes", "8,200,1000", "numbers of members in the fan-out's room")
	fs.BoolVar(&opt.quick, "quick", false, "measure one short round of everything, for a first impression")
	fs.IntVar(&opt.rounds, "rounds", 5, "number of interleaved rounds, of which medians are taken")
	fs.DurationVar(&opt.window, "window", 2*time.Second, "how long to measure in each round")
	fs.DurationVar(&opt.warmup, "warmup", time.Second, "how long to run each round before measuring")
	fs.StringVar(&opt.binary, "traceroom", "", "path of a built Traceroom to measure; by default ./app is built")
	fs.IntVar(&opt.senders, "senders", 0, "members that send in the fan-out; 0: by size")
	fs.IntVar(&opt.inflight, "inflight", 0, "unacknowledged messages of each sender in the fan-out; 0: by size")
	ack := fs.String("ack", string(load.AckEcho), "when a message counts as acknowledged: echo (its sender has it) or all (all members have it)")
	fs.BoolVar(&opt.spin, "spin", false, "have the clients poll without sleeping, so that no write of the server has to wake them")
	fs.DurationVar(&opt.patience, "patience", time.Minute, "how much time to spend, in all, on waiting until other programs are quiet and on repeating disturbed rounds")
	fs.StringVar(&opt.during, "during", "", "a shell command, such as a profiler, to run beside each server, with the server's process id in $PID")
	fs.DurationVar(&opt.steady, "steady", time.Minute, "how long to watch the memory at a steady rate")
	fs.IntVar(&opt.connections, "connections", 10_000, "number of idle connections")
	fs.IntVar(&opt.messages, "messages", 1_000_000, "number of stored messages")
	fs.IntVar(&opt.cycles, "cycles", 1000, "how often the room fills and empties")
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "Measures Traceroom and its peers and prints the tables as Markdown.\n\nFlags:\n")
		fs.PrintDefaults()
		fmt.Fprintf(fs.Output(), "\nScenarios:\n")
		for _, s := range scenarios {
			fmt.Fprintf(fs.Output(), "  %-8s %s\n", s.name, s.about)
		}
	}
	if err := fs.Parse(args); err != nil {
		return opt, err
	}
	if fs.NArg() > 0 {
		return opt, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	opt.only, opt.servers, opt.ack = strings.Split(*only, ","), strings.Split(*servers, ","), load.Ack(*ack)
	for _, name := range opt.only {
		if !slices.Contains(names, name) {
			return opt, fmt.Errorf("-only %s: there are %s", name, strings.Join(names, ", "))
		}
	}
	for _, name := range opt.servers {
		if !slices.ContainsFunc(peers.All(), func(p peers.Peer) bool { return p.Name == name }) {
			return opt, fmt.Errorf("-servers %s: no such server", name)
		}
	}
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return opt, fmt.Errorf("-sizes %s: must be numbers above 0", *sizes)
		}
		opt.sizes = append(opt.sizes, n)
	}
	if opt.ack != load.AckEcho && opt.ack != load.AckAll {
		return opt, fmt.Errorf("-ack %s: must be %s or %s", opt.ack, load.AckEcho, load.AckAll)
	}
	if opt.rounds < 1 || opt.window <= 0 {
		return opt, errors.New("-rounds and -window must be above 0")
	}
	if opt.quick {
		opt.hurry()
	}
	return opt, nil
}

// hurry makes all measurements short and less exact.
func (o *options) hurry() {
	o.rounds, o.window, o.warmup = 1, time.Second, 500*time.Millisecond
	o.steady = min(o.steady, 10*time.Second)
	o.connections = min(o.connections, 2000)
	o.messages = min(o.messages, 100_000)
	o.cycles = min(o.cycles, 100)
}

// bench is one run of the program.
type bench struct {
	opt   options
	peers []peers.Peer // of the fan-out
	lab   *lab
	out   io.Writer // the tables
	log   io.Writer // progress

	wrong []string // runs of Traceroom with lost, misplaced or damaged deliveries
	// sustained is the highest sustained rate at 200 members in messages a second; 0 until it is measured.
	sustained float64
}

func (b *bench) prepare(ctx context.Context, dir string) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	names := slices.Clone(b.opt.servers)
	if b.ownScenarios() {
		names = append(names, "traceroom", "off")
	}
	b.say("building")
	built, without, err := peers.Build(ctx, root, dir, b.opt.binary, names)
	if err != nil {
		return err
	}
	for _, p := range peers.All() {
		switch why := without[p.Name]; {
		case why != nil:
			b.say("%s is left out: %v", p.Name, why)
		case slices.Contains(b.opt.servers, p.Name):
			b.peers = append(b.peers, p)
		}
	}
	if err := without["traceroom"]; err != nil && b.ownScenarios() {
		return fmt.Errorf("without Traceroom there is only -only fanout: %w", err)
	}
	if b.lab, err = newLab(ctx, dir, built); err != nil {
		return err
	}
	b.lab.during = b.opt.during
	return nil
}

// ownScenarios reports whether any of the selected scenarios needs Traceroom.
func (b *bench) ownScenarios() bool {
	return slices.ContainsFunc(b.opt.only, func(s string) bool { return s != "fanout" })
}

func (b *bench) all(ctx context.Context) error {
	b.print("Measured on: %s.\n", machine())
	for _, s := range scenarios {
		if slices.Contains(b.opt.only, s.name) {
			if err := s.run(b, ctx); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	if len(b.wrong) > 0 {
		return fmt.Errorf("not every message was delivered once and in order:\n%s", strings.Join(b.wrong, "\n"))
	}
	return nil
}

// note records a run of Traceroom that lost, misplaced or damaged deliveries. Other servers may.
func (b *bench) note(p peers.Peer, o outcome) {
	if !o.right() && (p.Name == "traceroom" || p.Name == "off" || p.Name == "socketio") {
		b.wrong = append(b.wrong, fmt.Sprintf("%s, %d members: %s", p.Name, o.Members, lost(series{o})))
	}
}

// own returns the peer with the given name.
func own(name string) peers.Peer {
	all := peers.All()
	return all[slices.IndexFunc(all, func(p peers.Peer) bool { return p.Name == name })]
}

// print adds a paragraph to the report; say reports progress.
func (b *bench) print(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }
func (b *bench) say(format string, args ...any)   { fmt.Fprintf(b.log, "bench: "+format+"\n", args...) }

func (b *bench) table(t table) {
	_ = t.write(b.out)
	fmt.Fprintln(b.out)
}
