//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/traceroom/traceroom/app/bench/proc"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// Parameters of the scenario viewer.
const (
	viewerMembers = 200
	viewerLimit   = 1.03
	// viewerRounds is how many pairs are measured for each of -rounds: the expected difference is smaller than that between two
	// equal runs.
	viewerRounds = 3
	// livePath is what the page's panel reads when it is opened: all traces.
	livePath = "/traces/live"
)

// viewer compares what a delivery costs while the page's panel is open with what it costs while nobody watches.
func (b *bench) viewer(ctx context.Context) error {
	p, plan := own("traceroom"), b.fanoutPlan(viewerMembers)
	rounds := viewerRounds * b.opt.rounds
	runs, err := compare(rounds, func(round, watched int) (outcome, error) {
		b.say("viewer: round %d of %d, %d viewers", round+1, rounds, watched)
		b.lab.watched = watched == 1
		defer func() { b.lab.watched = false }()
		return b.measureQuiet(ctx, p, plan)
	})
	if err != nil {
		return err
	}
	ratios := stats.Ratios(runs[1].cost(), runs[0].cost())
	b.print("### A viewer of the live traces\n")
	b.print("Server CPU time per delivery with one viewer of %s, as the page opens it, against none; %d members, messages of 64 bytes, everything on.", livePath, viewerMembers)
	b.print("Medians of %d interleaved pairs of %v each.\n", rounds, b.opt.window)
	t := table{head: []string{"", "CPU per delivery", "lowest to highest", "messages/s", "server CPU", "others' CPU", "lost", "spans"}}
	for i, name := range []string{"nobody watches", "one viewer"} {
		s := runs[i]
		cost := s.cost()
		t.add(name, precise(stats.Median(cost))+" µs", precise(slices.Min(cost))+" to "+precise(slices.Max(cost)),
			figure(s.median(outcome.messageRate)),
			percent(s.median(outcome.serverLoad)), percent(s.median(outcome.others)),
			lost(s), spans(p, s))
	}
	b.table(t)
	b.doubt(slices.Concat(runs[0], runs[1]))
	r := stats.Median(ratios)
	budget := table{head: []string{"budget", "measured", "give or take", "limit", ""}}
	budget.add(fmt.Sprintf("one viewer / none, %d members", viewerMembers), precise(r), precise(doubtful(ratios)), "at most "+precise(viewerLimit), verdict(r <= viewerLimit))
	b.table(budget)
	return nil
}

// doubtful returns the standard error of the median of v, estimated from the quartiles, which single disturbed rounds do not
// change.
func doubtful(v []float64) float64 {
	const normal = 1.349 // distance between the quartiles of a normal distribution, in standard deviations
	spread := (stats.Quantile(v, 0.75) - stats.Quantile(v, 0.25)) / normal
	return 1.253 * spread / math.Sqrt(float64(len(v)))
}

// precise formats v with three decimal places.
func precise(v float64) string { return fmt.Sprintf("%.3f", v) }

// watching starts a viewer of the server's live traces, if l.watched, in a process on the clients' core. stop ends it, and fails
// if it has seen nothing.
func (l *lab) watching(ctx context.Context, addr string) (stop func() error, err error) {
	if !l.watched {
		return func() error { return nil }, nil
	}
	v, err := proc.Start(proc.Command{Path: l.built.Self, Args: []string{"watch", "http://" + addr + livePath}, Core: l.cores.clients})
	if err != nil {
		return nil, err
	}
	const grace = 2 * time.Second
	starting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := v.Await(starting, after("watching ")); err != nil {
		v.Stop(grace)
		return nil, fmt.Errorf("viewer: %w", err)
	}
	return func() error {
		v.Stop(grace)
		// It has ended, so Await does not wait.
		_, err := v.Await(ctx, after("saw "))
		return err
	}, nil
}

// watch reads a stream of live traces, as the page does, until ctx is cancelled. It prints when the stream has begun and, at the
// end, how many events there were. It fails if the stream ends by itself.
func watch(ctx context.Context, url string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(url + ": " + res.Status)
	}
	traces, read := 0, 0
	r := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		read += len(line)
		switch {
		case err == nil && bytes.Equal(line, []byte("event: traces\n")):
			if traces++; traces == 1 {
				fmt.Fprintln(out, "watching", url)
			}
		case err == nil, errors.Is(err, bufio.ErrBufferFull):
		case ctx.Err() == nil:
			return err
		case traces < 2:
			return errors.New("nothing came after the first list")
		default:
			fmt.Fprintf(out, "saw %d events of traces, %d bytes\n", traces, read)
			return nil
		}
	}
}
