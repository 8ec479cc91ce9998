//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/traceroom/traceroom/app/bench/load"
)

// rooms compares many small rooms with one. In each room all members send, one message at a time.
func (b *bench) rooms(ctx context.Context) error {
	const members = 4
	sizes := [2]int{1, 100}
	p := own("traceroom")
	runs, err := compare(b.opt.rounds, func(round, variant int) (outcome, error) {
		b.say("rooms: round %d of %d, %d rooms", round+1, b.opt.rounds, sizes[variant])
		return b.measureQuiet(ctx, p, load.Plan{Do: "fanout", Rooms: sizes[variant], Members: members, Senders: members, Inflight: 1,
			Ack: load.AckEcho, Warmup: b.opt.warmup, Measure: b.opt.window})
	})
	if err != nil {
		return err
	}
	b.print("### Many rooms\n")
	ratio := b.printComparison(p, "rooms of 4, all sending", [2]string{fmt.Sprint(sizes[0]), fmt.Sprint(sizes[1])}, runs)
	b.print("100 rooms / one room: %s, at most 2: %s.\n", figure(ratio), verdict(ratio <= 2))
	return nil
}
