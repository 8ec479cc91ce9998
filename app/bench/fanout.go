//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// fanout compares what a delivery costs in one room, for each size of the room, in interleaved rounds.
func (b *bench) fanout(ctx context.Context) error {
	runs := make(map[string]series) // by size and peer, see key
	failed := make(map[string]bool) // peers that could not be measured
	for round := range b.opt.rounds {
		for _, size := range b.opt.sizes {
			for i := range b.peers {
				p := b.peers[(i+round)%len(b.peers)] // the order changes, so that no peer always follows the same one
				if failed[p.Name] {
					continue
				}
				b.say("fan-out: round %d of %d, %d members, %s", round+1, b.opt.rounds, size, p.Name)
				o, err := b.measureQuiet(ctx, p, b.fanoutPlan(size))
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil && (p.Name == "traceroom" || p.Name == "off"):
					return err
				case err != nil:
					b.say("left out: %v", err)
					failed[p.Name] = true
					continue
				}
				runs[key(size, p.Name)] = append(runs[key(size, p.Name)], o)
			}
		}
	}
	b.peers = slices.DeleteFunc(b.peers, func(p peers.Peer) bool { return failed[p.Name] })
	b.printFanout(runs)
	return nil
}

// fanoutPlan returns the load of the fan-out, the same for all servers: a few senders, each of which sends again when its own
// message comes back.
func (b *bench) fanoutPlan(size int) load.Plan {
	s := shapeOf(size)
	if b.opt.senders > 0 {
		s.senders = b.opt.senders
	}
	if b.opt.inflight > 0 {
		s.inflight = b.opt.inflight
	}
	return load.Plan{Do: "fanout", Rooms: 1, Members: size, Senders: min(s.senders, size), Inflight: s.inflight, Ack: b.opt.ack,
		Warmup: b.opt.warmup, Measure: b.opt.window, Spin: b.opt.spin}
}

// shape says how many messages of a fan-out are under way at a time.
type shape struct{ senders, inflight int }

// shapeOf returns the shape for a room of this size. The more messages are under way, the more a server finds in a queue and writes
// at once, and the less a delivery costs; with one at a time, a server would mostly wait. These values keep a server busy with
// few messages in each write, as in a busy room, and far from any queue's limit. With 1000 members a write takes so long that
// twice as many messages are needed.
func shapeOf(members int) shape {
	if members < 500 {
		return shape{senders: 5, inflight: 2}
	}
	return shape{senders: 5, inflight: 4}
}

// series is the outcomes of one server at one size, by round.
type series []outcome

func (s series) cost() []float64 {
	v := make([]float64, len(s))
	for i, o := range s {
		v[i] = o.perDelivery()
	}
	return v
}

// median returns the median of f over the rounds.
func (s series) median(f func(outcome) float64) float64 {
	v := make([]float64, len(s))
	for i, o := range s {
		v[i] = f(o)
	}
	return stats.Median(v)
}

func (s series) sum(f func(outcome) int64) (n int64) {
	for _, o := range s {
		n += f(o)
	}
	return n
}

func key(size int, peer string) string { return fmt.Sprint(size, " ", peer) }

func (b *bench) printFanout(runs map[string]series) {
	ratio := func(size int, of, to string) float64 {
		return stats.Median(stats.Ratios(runs[key(size, of)].cost(), runs[key(size, to)].cost()))
	}
	b.print("### Fan-out\n")
	b.print("Server CPU time per delivery, messages of 64 bytes, one room; in brackets as a multiple of gorilla's chat example.")
	b.print("Medians of %d interleaved rounds of %v.\n", b.opt.rounds, b.opt.window)
	short := table{head: []string{"server"}}
	for _, size := range b.opt.sizes {
		short.head = append(short.head, fmt.Sprintf("%d members", size))
	}
	for _, p := range b.peers {
		row := []string{p.Title}
		for _, size := range b.opt.sizes {
			cell := figure(stats.Median(runs[key(size, p.Name)].cost())) + " µs"
			if r := ratio(size, p.Name, "gorilla"); !math.IsNaN(r) {
				cell += " (" + figure(r) + ")"
			}
			row = append(row, cell)
		}
		short.add(row...)
	}
	b.table(short)

	long := table{head: []string{"members, server", "CPU per delivery", "lowest to highest", "× gorilla", "× floor", "messages/s", "server CPU", "clients' CPU", "others' CPU", "lost", "spans"}}
	for _, size := range b.opt.sizes {
		for _, p := range b.peers {
			s := runs[key(size, p.Name)]
			cost := s.cost()
			if len(cost) == 0 {
				continue
			}
			long.add(fmt.Sprintf("%d, %s", size, p.Name),
				figure(stats.Median(cost))+" µs", figure(slices.Min(cost))+" to "+figure(slices.Max(cost)),
				figure(ratio(size, p.Name, "gorilla")), figure(ratio(size, p.Name, "floor")),
				figure(s.median(outcome.messageRate)),
				percent(s.median(outcome.serverLoad)),
				percent(s.median(func(o outcome) float64 { return o.ClientCPU.Seconds() / o.Seconds })),
				percent(s.median(outcome.others)),
				lost(s), spans(p, s))
		}
	}
	b.table(long)
	b.print("Load: %s. CPU columns are shares of one core; others' is that of all other programs, which should be none.\n", b.loadInWords())
	var all series
	for _, s := range runs {
		all = append(all, s...)
	}
	b.doubt(all)

	budgets := table{head: []string{"budget", "measured", "limit", ""}}
	most := func(size int, of, to, what string, limit float64) {
		if r := ratio(size, of, to); !math.IsNaN(r) {
			budgets.add(fmt.Sprintf("%s, %d members", what, size), figure(r), "at most "+figure(limit), verdict(r <= limit))
		}
	}
	least := func(size int, of, to, what string, limit float64) {
		if r := ratio(size, of, to); !math.IsNaN(r) {
			budgets.add(fmt.Sprintf("%s, %d members", what, size), figure(r), "at least "+figure(limit), verdict(r >= limit))
		}
	}
	for i, size := range []int{8, 200, 1000} {
		most(size, "traceroom", "gorilla", "everything on / gorilla", []float64{2.5, 1.4, 0.8}[i])
	}
	for i, size := range []int{8, 200, 1000} {
		least(size, "node", "traceroom", "Node / everything on", []float64{3, 8, 8}[i])
	}
	most(8, "traceroom", "off", "everything on / off", 2.0)
	most(200, "traceroom", "off", "everything on / off", 1.2)
	if len(budgets.rows) > 0 {
		b.table(budgets)
	}
}

func (b *bench) loadInWords() string {
	var parts []string
	for _, size := range b.opt.sizes {
		p := b.fanoutPlan(size)
		parts = append(parts, fmt.Sprintf("%d senders with %d unacknowledged each at %d members", p.Senders, p.Inflight, size))
	}
	return strings.Join(parts, ", ")
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

// lost describes how many deliveries were lost, and what else went wrong.
func lost(s series) string {
	n := s.sum(func(o outcome) int64 { return o.Lost })
	text := fmt.Sprint(n)
	if n > 0 {
		all := n + s.sum(func(o outcome) int64 { return o.Delivered })
		text = fmt.Sprintf("%d (%.1f %%)", n, 100*float64(n)/float64(all))
	}
	if n := s.sum(func(o outcome) int64 { return o.Closed }); n > 0 {
		text += fmt.Sprintf(", %d members dropped", n)
	}
	if n := s.sum(func(o outcome) int64 { return o.Misplaced + o.Damaged }); n > 0 {
		text += fmt.Sprintf(", %d out of order or damaged", n)
	}
	return text
}

// spans describes how many of the expected spans arrived.
func spans(p peers.Peer, s series) string {
	if p.PerMessage == 0 {
		return ""
	}
	have, want := s.sum(func(o outcome) int64 { return o.Spans }), s.sum(func(o outcome) int64 { return o.Expected })
	text := fmt.Sprintf("%.1f %% of %d", 100*float64(have)/float64(want), want)
	if n := s.median(func(o outcome) float64 { return o.Dropped }); n > 0 {
		text += fmt.Sprintf(", it reports %.0f dropped", n)
	}
	return text
}
