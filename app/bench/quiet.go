//go:build linux

package main

import (
	"context"
	"time"

	"github.com/traceroom/traceroom/app/bench/load"
	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/proc"
)

// noisy is how much of a core other programs may use before figures are doubtful.
const noisy = 0.15

// measureQuiet is lab.measure while other programs are quiet: it waits until they are, and measures again if they were not during
// the measurement. Waiting and repeating take from the option patience; when that is used up, the best outcome so far counts.
func (b *bench) measureQuiet(ctx context.Context, p peers.Peer, plan load.Plan) (outcome, error) {
	const most = 4 // repetitions
	var best outcome
	for again := 0; ; again++ {
		if err := b.awaitQuiet(ctx); err != nil {
			return best, err
		}
		begin := time.Now()
		out, err := b.lab.measure(ctx, p, plan)
		if err != nil {
			return out, err
		}
		b.note(p, out)
		if best.Seconds == 0 || out.others() < best.others() {
			best = out
		}
		if best.others() <= noisy || b.opt.patience <= 0 || again == most {
			return best, nil
		}
		b.opt.patience -= time.Since(begin)
		b.say("again: other programs used %s of a core", percent(out.others()))
	}
}

// awaitQuiet waits until the machine is quiet, at most as long as the option patience allows.
func (b *bench) awaitQuiet(ctx context.Context) error {
	const look = 200 * time.Millisecond
	for b.opt.patience > 0 {
		before, err := proc.Busy()
		if err != nil {
			return err
		}
		begin := time.Now()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := proc.Busy()
		if err != nil {
			return err
		}
		took := time.Since(begin)
		if (after - before).Seconds() <= noisy*took.Seconds() {
			return nil
		}
		b.opt.patience -= took
	}
	return nil
}

// doubt warns in the report if other programs disturbed the measurements.
func (b *bench) doubt(s series) {
	if busy := s.median(outcome.others); busy > noisy {
		b.print("**The machine was not quiet: other programs used %s of a core. The figures above are only approximate.**\n", percent(busy))
	}
}
