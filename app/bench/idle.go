//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
)

// idle opens many connections that send nothing, spread over rooms.
func (b *bench) idle(ctx context.Context) error {
	const perRoom = 100
	t := table{head: []string{"server", "connections", "memory before", "with all", "a connection", "all joined in", "CPU a join", "memory after"}}
	var last outcome // of Traceroom
	for _, name := range []string{"gorilla", "traceroom"} {
		p := own(name)
		if name == "gorilla" && b.lab.built.Gorilla == "" {
			continue
		}
		b.say("idle: %d connections, %s", b.opt.connections, name)
		plan := load.Plan{Do: "idle", Rooms: max(b.opt.connections/perRoom, 1), Members: perRoom, Senders: 1, Dialers: 16, Settle: b.settle()}
		if p.Dialect == load.Bare {
			// It has only one room. Its members are not told of each other, so the size does not matter.
			plan.Rooms, plan.Members = 1, plan.Rooms*plan.Members
		}
		out, err := b.lab.measure(ctx, p, plan)
		if err != nil {
			return err
		}
		b.note(p, out)
		t.add(p.Title, fmt.Sprint(out.Members), mebibytes(out.Before), mebibytes(out.With), figure(kibEach(out))+" KiB",
			figure(out.Join.Seconds())+" s", figure(out.JoinCPU.Seconds()*1e6/float64(out.Members))+" µs", mebibytes(out.After))
		last = out
	}
	b.print("### Idle connections\n")
	b.table(t)
	b.print("A connection at most 9 KiB: %s. Joined within 10 s: %s.\n", verdict(kibEach(last) <= 9), verdict(last.Join <= 10*time.Second))
	return nil
}

func kibEach(o outcome) float64 { return float64(o.With-o.Before) / 1024 / float64(o.Members) }

// settle returns how long a server has to return memory to the system.
func (b *bench) settle() time.Duration {
	if b.opt.quick {
		return 3 * time.Second
	}
	return 10 * time.Second
}
