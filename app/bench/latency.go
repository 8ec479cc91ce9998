//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
)

// latencyMembers is the size of the room in which latency and steady memory are measured.
const latencyMembers = 200

// latency finds the highest rate that the server sustains and measures at half of it.
func (b *bench) latency(ctx context.Context) error {
	p := own("traceroom")
	if err := b.findSustained(ctx); err != nil {
		return err
	}
	b.say("latency: at half of %.0f messages a second", b.sustained)
	plan := ratePlan(b.sustained / 2)
	plan.Warmup, plan.Measure = b.opt.warmup, 5*b.opt.window
	out, err := b.measureQuiet(ctx, p, plan)
	if err != nil {
		return err
	}
	b.print("### Latency\n")
	b.print("%d members, %s messages a second, which is half of the highest sustained rate; from when a message was due to when a member has read it.\n",
		latencyMembers, figure(plan.Rate))
	t := table{head: []string{"", "p50", "p99", "longest", "deliveries", "lost", "spans", "server CPU", "p99 at most 10 ms"}}
	t.add(p.Title, milliseconds(out.Latency.P50), milliseconds(out.Latency.P99), milliseconds(out.Latency.Max), fmt.Sprint(out.Latency.N),
		lost(series{out}), spans(p, series{out}), percent(out.ServerCPU.Seconds()/out.Seconds), verdict(out.Latency.P99 <= 10*time.Millisecond))
	b.table(t)
	b.doubt(series{out})
	return nil
}

func ratePlan(rate float64) load.Plan {
	return load.Plan{Do: "fanout", Rooms: 1, Members: latencyMembers, Senders: 8, Rate: rate}
}

// findSustained sets sustained: the highest of a falling series of rates, beginning with that of the closed loop, at which the
// server keeps up. It keeps up if every message is delivered and the p99 of the latency is below 200 ms: with a growing backlog,
// latency would grow for as long as the measurement lasts.
func (b *bench) findSustained(ctx context.Context) error {
	if b.sustained > 0 {
		return nil
	}
	p := own("traceroom")
	closed := b.fanoutPlan(latencyMembers)
	closed.Inflight *= 4 // about as many as a server can take before latency suffers
	out, err := b.measureQuiet(ctx, p, closed)
	if err != nil {
		return err
	}
	rate := out.messageRate()
	for range 20 {
		b.say("sustained rate: trying %.0f messages a second", rate)
		plan := ratePlan(rate)
		plan.Warmup, plan.Measure = b.opt.warmup, 2*b.opt.window
		if err := b.awaitQuiet(ctx); err != nil {
			return err
		}
		out, err := b.lab.measure(ctx, p, plan)
		if err != nil {
			return err
		}
		if out.right() && out.Latency.P99 < 200*time.Millisecond {
			b.sustained = rate
			return nil
		}
		rate *= 0.9
	}
	return fmt.Errorf("even %.0f messages a second to %d members are too many", rate, latencyMembers)
}
