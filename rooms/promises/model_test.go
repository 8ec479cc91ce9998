package promises

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// The number of plans is set by rapid's flag -rapid.checks. With -rapid.nofailfile=false rapid keeps plans that fail in
// testdata.
func TestMain(m *testing.M) {
	usual := flag.Lookup("rapid.checks").Value.String()
	set("rapid.nofailfile", "true")
	flag.Parse()
	asked = flag.Lookup("rapid.checks").Value.String() != usual
	goleak.VerifyTestMain(m)
}

// asked says that -rapid.checks was given.
var asked bool

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		panic(err)
	}
}

// soakEnv names the variable that says for how long plans are checked, in the form of time.ParseDuration; if it is not set, a fixed
// number of plans is checked.
const soakEnv = "SOAK"

var durations = []time.Duration{time.Millisecond, 15 * time.Millisecond, 60 * time.Millisecond, 400 * time.Millisecond, 3 * time.Second, 12 * time.Second}

// ops returns what may happen, each as often as its weight.
func ops(nodes int) (list []op) {
	for o, n := range map[op]int{
		connect: 14, send: 14, hangUp: 3, post: 4, stall: 3, remove: 2, erase: 2, kill: 2, pause: 3, away: 3, rest: 4, cutOff: 6,
	} {
		if o == cutOff && nodes == 1 {
			continue
		}
		for range n {
			list = append(list, o)
		}
	}
	return list
}

// posts is how many messages are posted at once: sometimes more than HistoryLength, seldom more than MaxResume.
var posts = append(slices.Repeat([]int{1, 2, 3, 30, 130}, 10), 1050)

func commands(nodes int) *rapid.Generator[command] {
	// The most frequent come first, as rapid reduces a failing plan towards the first.
	some := []op{connect, send}
	for _, o := range []op{connect, send, cutOff, rest, post, hangUp, pause, away, stall, kill, remove, erase} {
		for _, other := range ops(nodes) {
			if other == o {
				some = append(some, o)
			}
		}
	}
	return rapid.Custom(func(t *rapid.T) command {
		c := command{Op: rapid.SampledFrom(some).Draw(t, "op")}
		switch c.Op {
		case connect:
			c.Client, c.Node = rapid.IntRange(0, 5).Draw(t, "client"), rapid.IntRange(0, nodes-1).Draw(t, "node")
		case hangUp, stall:
			c.Client = rapid.IntRange(0, 5).Draw(t, "client")
		case send:
			c.Client, c.N = rapid.IntRange(0, 5).Draw(t, "client"), rapid.SampledFrom([]int{1, 1, 2, 5, 30}).Draw(t, "n")
		case post:
			c.Node, c.Room = rapid.IntRange(0, nodes-1).Draw(t, "node"), rapid.IntRange(0, 1).Draw(t, "room")
			c.N = rapid.SampledFrom(posts).Draw(t, "n")
		case remove, erase:
			c.Node, c.Room = rapid.IntRange(0, nodes-1).Draw(t, "node"), rapid.IntRange(0, 1).Draw(t, "room")
		case kill:
			c.Node = rapid.IntRange(0, nodes-1).Draw(t, "node")
		case pause, cutOff, away:
			c.Node = rapid.IntRange(0, nodes-1).Draw(t, "node")
			c.For = rapid.SampledFrom(durations).Draw(t, "for")
			if c.Op != pause && nodes > 1 {
				c.Flag = rapid.Bool().Draw(t, "flag")
			}
		}
		c.Then = rapid.SampledFrom([]time.Duration{0, quietly, quietly, time.Millisecond, 15 * time.Millisecond, 60 * time.Millisecond, 3 * time.Second}).Draw(t, "then")
		return c
	})
}

func plans(nodes int) *rapid.Generator[plan] {
	return rapid.Custom(func(t *rapid.T) plan {
		p := plan{
			Nodes:    nodes,
			Rooms:    rapid.IntRange(1, 2).Draw(t, "rooms"),
			Clients:  rapid.IntRange(2, 6).Draw(t, "clients"),
			Seed:     rapid.Uint64().Draw(t, "seed"),
			Slowness: rapid.SampledFrom([]time.Duration{0, 2 * time.Millisecond, 50 * time.Millisecond}).Draw(t, "slowness"),
		}
		if nodes > 1 {
			p.Lateness = rapid.SampledFrom([]time.Duration{0, time.Millisecond, 60 * time.Millisecond}).Draw(t, "lateness")
			p.Lost = rapid.SampledFrom([]int{0, 10, 50}).Draw(t, "lost")
			p.Twice = rapid.SampledFrom([]int{0, 20}).Draw(t, "twice")
		}
		// On average at least twice as many are drawn.
		least := rapid.SampledFrom([]int{1, 8, 20}).Draw(t, "least commands")
		p.Commands = rapid.SliceOfN(commands(nodes), least, -1).Draw(t, "commands")
		return p
	})
}

// repeats is how often a plan is run to see it fail again: the order in which goroutines run is not the same each time.
const repeats = 10

// checkPlans checks generated plans for least to most nodes.
func checkPlans(t *testing.T, checks, least, most int, open func(*testing.T, *record) database) {
	if !asked {
		set("rapid.checks", fmt.Sprint(checks))
	}
	var soak time.Duration
	if s := os.Getenv(soakEnv); s != "" {
		var err error
		if soak, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	times := 1
	check := func(rt *rapid.T) {
		p := plans(rapid.IntRange(least, most).Draw(rt, "nodes")).Draw(rt, "plan")
		for range times {
			events := run(t, p, open)
			list := check(events)
			if len(list) == 0 {
				continue
			}
			times = repeats
			// Only the first broken promise is reported: the others may follow from it.
			rt.Fatalf("%s\n%s\n%s", list[0].What, p, report(events, list[:1]))
		}
	}
	for begin := time.Now(); ; {
		rapid.Check(t, check)
		if time.Since(begin) >= soak {
			return
		}
	}
}

func memory(_ *testing.T, r *record) database { return newDisk(r) }

func TestSeveralNodesKeepTheirPromises(t *testing.T) { checkPlans(t, 600, 2, 3, memory) }

func TestANodeKeepsItsPromisesThroughRestarts(t *testing.T) { checkPlans(t, 50, 1, 1, openFile) }

// requireKept runs a plan several times that once broke a promise.
func requireKept(t *testing.T, p plan) {
	t.Helper()
	for range repeats {
		events := run(t, p, memory)
		if list := check(events); len(list) > 0 {
			t.Fatalf("%s\n%s", list[0].What, report(events, list))
		}
	}
}

// A client that has the newest message resumes on a node that has not been told of it yet.
func TestAResumedClientIsNotShownWhatTheNodeCatchesUpOn(t *testing.T) {
	requireKept(t, plan{Nodes: 2, Rooms: 1, Clients: 2, Lateness: 60 * time.Millisecond, Commands: []command{
		{Op: send, Client: 0, N: 1, Then: time.Millisecond},
		{Op: connect, Client: 0, Node: 1},
	}})
}
