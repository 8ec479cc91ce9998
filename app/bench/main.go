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

// scenarios are what can be measured, in the order in which they are.
var scenarios = []struct {
	name, about string
	run         func(*bench, context.Context) error
}{
	{"fanout", "CPU per delivery in one room, all servers", (*bench).fanout},
	{"viewer", "what a viewer of the live traces adds to a delivery", (*bench).viewer},
	{"refs", "messages with a ref against those without", (*bench).refs},
	{"rooms", "100 rooms of 4 against one room of 4", (*bench).rooms},
	{"latency", "delivery latency at half the highest sustained rate", (*bench).latency},
	{"idle", "memory of idle connections", (*bench).idle},
	{"history", "start and join with many messages stored", (*bench).history},
	{"steady", "memory at a steady rate", (*bench).steady},
	{"cluster", "one to three nodes on one PostgreSQL", (*bench).cluster},
	{"churn", "memory after a room has filled and emptied often", (*bench).churn},
}

// options is what the command line says.
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
	only := fs.String("only", strings.Join(names, ","), "which scenarios, see below")
	servers := fs.String("servers", "floor,gorilla,node,traceroom,off,socketio", "which servers to compare in the fan-out")
	sizes := fs.String("sizes", "8,200,1000", "members of the fan-out's room")
	fs.BoolVar(&opt.quick, "quick", false, "one short round of everything, for a first impression")
	fs.IntVar(&opt.rounds, "rounds", 5, "interleaved rounds; medians are over these")
	fs.DurationVar(&opt.window, "window", 2*time.Second, "how long each round measures")
	fs.DurationVar(&opt.warmup, "warmup", time.Second, "how long each round runs before it measures")
	fs.StringVar(&opt.binary, "traceroom", "", "a built Traceroom to measure; without it ./app is built")
	fs.IntVar(&opt.senders, "senders", 0, "members that send in the fan-out; 0: by size")
	fs.IntVar(&opt.inflight, "inflight", 0, "unacknowledged messages of each sender in the fan-out; 0: by size")
	ack := fs.String("ack", string(load.AckEcho), "when a message counts as acknowledged: echo (its sender has it) or all (all members have it)")
	fs.BoolVar(&opt.spin, "spin", false, "clients do not sleep, so that no write of the server has to wake them")
	fs.DurationVar(&opt.patience, "patience", time.Minute, "how much time may be lost, in all, by waiting for moments when the machine does nothing else")
	fs.StringVar(&opt.during, "during", "", "a shell command to run once each server serves, with its process id in $PID: a profiler")
	fs.DurationVar(&opt.steady, "steady", time.Minute, "how long the memory at a steady rate is watched")
	fs.IntVar(&opt.connections, "connections", 10_000, "idle connections")
	fs.IntVar(&opt.messages, "messages", 1_000_000, "stored messages")
	fs.IntVar(&opt.cycles, "cycles", 1000, "how often a room fills and empties")
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

// hurry makes everything short, at the price of exactness.
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
	peers []peers.Peer // to compare in the fan-out
	lab   *lab
	out   io.Writer // the tables
	log   io.Writer // what is going on

	wrong []string // what Traceroom did not deliver as it must
	// sustained is the highest rate at 200 members, messages a second; 0 until it is known.
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

// ownScenarios reports whether a scenario is to be measured that needs Traceroom.
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
		return fmt.Errorf("not every message was delivered as it must be:\n%s", strings.Join(b.wrong, "\n"))
	}
	return nil
}

// note remembers what a run of Traceroom's did wrong; the peers may lose what they like.
func (b *bench) note(p peers.Peer, o outcome) {
	if !o.right() && (p.Name == "traceroom" || p.Name == "off" || p.Name == "socketio") {
		b.wrong = append(b.wrong, fmt.Sprintf("%s, %d members: %s", p.Name, o.Members, lost(series{o})))
	}
}

// own returns a peer by its name.
func own(name string) peers.Peer {
	all := peers.All()
	return all[slices.IndexFunc(all, func(p peers.Peer) bool { return p.Name == name })]
}

// print adds a paragraph to the report; say tells who waits for it what is going on.
func (b *bench) print(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }
func (b *bench) say(format string, args ...any)   { fmt.Fprintf(b.log, "bench: "+format+"\n", args...) }

func (b *bench) table(t table) {
	_, _ = t.WriteTo(b.out)
	fmt.Fprintln(b.out)
}
