//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// rooms compares many small rooms with one. In each room all members send, one message at a time.
func (b *bench) rooms(ctx context.Context) error {
	const members, many = 4, 100
	p := own("traceroom")
	one, hundred := series{}, series{}
	for round := range b.opt.rounds {
		for _, n := range []int{1, many} {
			b.say("rooms: round %d of %d, %d rooms", round+1, b.opt.rounds, n)
			out, err := b.measureQuiet(ctx, p, load.Plan{Do: "fanout", Rooms: n, Members: members, Senders: members, Inflight: 1,
				Ack: load.AckEcho, Warmup: b.opt.warmup, Measure: b.opt.window})
			if err != nil {
				return err
			}
			if n == 1 {
				one = append(one, out)
			} else {
				hundred = append(hundred, out)
			}
		}
	}
	ratio := stats.Median(stats.Ratios(hundred.cost(), one.cost()))
	b.print("### Many rooms\n")
	t := table{head: []string{"rooms of 4, all sending", "CPU per delivery", "messages/s", "server CPU", "lost", "spans"}}
	for _, r := range []struct {
		n int
		s series
	}{{1, one}, {many, hundred}} {
		t.add(fmt.Sprint(r.n), figure(stats.Median(r.s.cost()))+" µs",
			figure(r.s.median(func(o outcome) float64 { return float64(o.Messages) / o.Seconds })),
			percent(r.s.median(func(o outcome) float64 { return o.ServerCPU.Seconds() / o.Seconds })), lost(r.s), spans(p, r.s))
	}
	b.table(t)
	b.doubt(slices.Concat(one, hundred))
	b.print("100 rooms / one room: %s, at most 2: %s.\n", figure(ratio), verdict(ratio <= 2))
	return nil
}
