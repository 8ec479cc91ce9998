//go:build linux

package main

import (
	"context"

	"github.com/traceroom/traceroom/app/bench/load"
)

// Parameters of the scenario refs.
const (
	refsMembers = 200
	refsLimit   = 2.0
)

// refs compares what a delivery costs with and without a ref in every message, in a room in which all members send. A sender gets
// its own messages with their refs, so that no two members are sent the same bytes.
func (b *bench) refs(ctx context.Context) error {
	p := own("traceroom")
	runs, err := compare(b.opt.rounds, func(round, variant int) (outcome, error) {
		p.Dialect = []load.Dialect{load.Chat, load.ChatRefs}[variant]
		b.say("refs: round %d of %d, %s", round+1, b.opt.rounds, p.Dialect)
		return b.measureQuiet(ctx, p, load.Plan{Do: "fanout", Rooms: 1, Members: refsMembers, Senders: refsMembers, Inflight: 1,
			Ack: load.AckEcho, Warmup: b.opt.warmup, Measure: b.opt.window})
	})
	if err != nil {
		return err
	}
	b.print("### Messages with a ref\n")
	ratio := b.printComparison(p, "200 members, all sending", [2]string{"without a ref", "each with a ref"}, runs)
	b.print("With a ref / without: %s, at most %s: %s.\n", figure(ratio), figure(refsLimit), verdict(ratio <= refsLimit))
	return nil
}
