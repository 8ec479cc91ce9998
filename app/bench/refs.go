//go:build linux

package main

import (
	"context"
	"slices"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// Parameters of the scenario refs.
const (
	refsMembers = 200
	refsLimit   = 2.0
)

// refs compares what a delivery costs with and without a ref in every message, in a room in which all members send. A sender gets
// its own messages with their refs, so that no two members are sent the same bytes.
func (b *bench) refs(ctx context.Context) error {
	without, with := own("traceroom"), own("traceroom")
	with.Dialect = load.ChatRefs
	var runs [2]series
	for round := range b.opt.rounds {
		for i := range runs {
			which := (i + round) % 2 // the order alternates
			p := without
			if which == 1 {
				p = with
			}
			b.say("refs: round %d of %d, %s", round+1, b.opt.rounds, p.Dialect)
			o, err := b.measureQuiet(ctx, p, load.Plan{Do: "fanout", Rooms: 1, Members: refsMembers, Senders: refsMembers, Inflight: 1,
				Ack: load.AckEcho, Warmup: b.opt.warmup, Measure: b.opt.window})
			if err != nil {
				return err
			}
			runs[which] = append(runs[which], o)
		}
	}
	ratio := stats.Median(stats.Ratios(runs[1].cost(), runs[0].cost()))
	b.print("### Messages with a ref\n")
	t := table{head: []string{"200 members, all sending", "CPU per delivery", "messages/s", "server CPU", "lost", "spans"}}
	for i, name := range []string{"without a ref", "each with a ref"} {
		s := runs[i]
		t.add(name, figure(stats.Median(s.cost()))+" µs",
			figure(s.median(func(o outcome) float64 { return float64(o.Messages) / o.Seconds })),
			percent(s.median(func(o outcome) float64 { return o.ServerCPU.Seconds() / o.Seconds })), lost(s), spans(without, s))
	}
	b.table(t)
	b.doubt(slices.Concat(runs[0], runs[1]))
	b.print("With a ref / without: %s, at most %s: %s.\n", figure(ratio), figure(refsLimit), verdict(ratio <= refsLimit))
	return nil
}
