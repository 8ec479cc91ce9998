//go:build linux

package main

import (
	"slices"

	"github.com/traceroom/traceroom/app/bench/peers"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// compare measures the variants 0 and 1 in interleaved rounds, in alternating order.
func compare(rounds int, measure func(round, variant int) (outcome, error)) (runs [2]series, err error) {
	for round := range rounds {
		for i := range runs {
			variant := (i + round) % 2
			o, err := measure(round, variant)
			if err != nil {
				return runs, err
			}
			runs[variant] = append(runs[variant], o)
		}
	}
	return runs, nil
}

// printComparison prints the table of two variants of a run of p and returns the ratio of what a delivery costs in the second to
// what it costs in the first.
func (b *bench) printComparison(p peers.Peer, head string, names [2]string, runs [2]series) (ratio float64) {
	t := table{head: []string{head, "CPU per delivery", "messages/s", "server CPU", "lost", "spans"}}
	for i, s := range runs {
		t.add(names[i], figure(stats.Median(s.cost()))+" µs", figure(s.median(outcome.messageRate)), percent(s.median(outcome.serverLoad)),
			lost(s), spans(p, s))
	}
	b.table(t)
	b.doubt(slices.Concat(runs[0], runs[1]))
	return stats.Median(stats.Ratios(runs[1].cost(), runs[0].cost()))
}
