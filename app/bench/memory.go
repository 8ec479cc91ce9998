//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// steady watches the server's memory at a rate that it can sustain.
func (b *bench) steady(ctx context.Context) error {
	if err := b.findSustained(ctx); err != nil {
		return err
	}
	p := own("traceroom")
	plan := ratePlan(b.sustained / 2)
	plan.Warmup, plan.Measure, plan.Sample = max(b.opt.steady/5, 5*time.Second), b.opt.steady, min(time.Second, b.opt.steady/10)
	b.say("steady: %v at %.0f messages a second", plan.Warmup+plan.Measure, plan.Rate)
	out, err := b.lab.measure(ctx, p, plan)
	if err != nil {
		return err
	}
	b.note(p, out)
	var at, mib []float64
	for _, s := range out.Memory {
		at, mib = append(at, s.Seconds/60), append(mib, float64(s.Bytes)/(1<<20))
	}
	fifth := max(len(mib)/5, 1)
	b.print("### Memory at a steady rate\n")
	b.print("%d members, %s messages a second, for %v after %v.\n", latencyMembers, figure(plan.Rate), plan.Measure, plan.Warmup)
	t := table{head: []string{"", "first fifth", "last fifth", "highest", "growth", "p99", "lost", "spans"}}
	t.add("resident memory", figure(stats.Median(mib[:fifth]))+" MiB", figure(stats.Median(mib[len(mib)-fifth:]))+" MiB",
		figure(stats.Quantile(mib, 1))+" MiB", fmt.Sprintf("%+.2f MiB a minute", stats.Slope(at, mib)),
		milliseconds(out.Latency.P99), lost(series{out}), spans(p, series{out}))
	b.table(t)
	b.doubt(series{out})
	return nil
}

// churn fills and empties a room repeatedly.
func (b *bench) churn(ctx context.Context) error {
	const members = 50
	p := own("traceroom")
	b.say("churn: %d times %d members", b.opt.cycles, members)
	out, err := b.lab.measure(ctx, p, load.Plan{Do: "churn", Rooms: 1, Members: members, Senders: 1, Times: b.opt.cycles, Settle: b.settle()})
	if err != nil {
		return err
	}
	b.note(p, out)
	b.print("### A room that fills and empties\n")
	t := table{head: []string{"", "after a twentieth", "the last time, full", "empty again", "took"}}
	t.add(fmt.Sprintf("resident memory, %d times %d members", b.opt.cycles, members), mebibytes(out.Before), mebibytes(out.With), mebibytes(out.After),
		figure(out.Join.Seconds())+" s")
	b.table(t)
	return nil
}
