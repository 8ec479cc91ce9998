//go:build linux

package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/traceroom/traceroom/app/bench/proc"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// Run executes p in the calling goroutine. It may use a whole core.
func Run(ctx context.Context, p Plan) (Result, error) {
	var res Result
	if p.Rooms < 1 || p.Rooms*p.Members > 1<<20 || p.Members >= 1<<16 {
		return res, fmt.Errorf("load: %d rooms of %d members", p.Rooms, p.Members)
	}
	e, err := newEngine(p)
	if err != nil {
		return res, err
	}
	defer e.close()
	switch p.Do {
	case "fanout":
		err = e.fanout(ctx, &res)
	case "idle":
		err = e.idle(ctx, &res)
	case "history":
		err = e.histories(ctx, &res)
	case "churn":
		err = e.churn(ctx, &res)
	default:
		err = errors.New("load: no such scenario: " + p.Do)
	}
	res.Syncs += e.syncs
	return res, err
}

// idle joins all members, waits, and has them leave.
func (e *engine) idle(ctx context.Context, res *Result) (err error) {
	if res.Before, err = proc.Resident(e.plan.ServerPID); err != nil {
		return err
	}
	cpu, err := proc.CPU(e.plan.ServerPID)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := e.joinAll(ctx); err != nil {
		return err
	}
	res.Join = time.Since(begin)
	if res.JoinCPU, err = proc.CPU(e.plan.ServerPID); err != nil {
		return err
	}
	res.JoinCPU -= cpu
	res.Members = int64(e.plan.Rooms * e.plan.Members)
	// Pings of the server must be answered.
	for end := time.Now().Add(e.plan.Settle); time.Now().Before(end); {
		if err := e.waitFor(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	res.Closed = e.closed
	if res.With, err = proc.Resident(e.plan.ServerPID); err != nil {
		return err
	}
	e.leaveAll()
	if err := rest(ctx, e.plan.Settle); err != nil {
		return err
	}
	res.After, err = proc.Resident(e.plan.ServerPID)
	return err
}

// histories joins and leaves the plan's rooms, one connection after the other, and measures each join from before dialling to
// the end of the history.
func (e *engine) histories(ctx context.Context, res *Result) error {
	var h stats.Histogram
	for i := range e.plan.Times {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := scriptOf(Chat, e.roomName(i%e.plan.Rooms), fmt.Sprintf("joiner%d", i))
		s.steps = []step{{"", `{"type":"history"`}}
		begin := time.Now()
		got, err := dial(e.addrs[0], s)
		if err != nil {
			return err
		}
		h.Add(time.Since(begin))
		res.Frame = max(res.Frame, got.last)
		hangUp(got.fd)
	}
	res.JoinEach = summary(&h)
	return nil
}

// churn fills and empties the rooms repeatedly.
func (e *engine) churn(ctx context.Context, res *Result) (err error) {
	warm := max(e.plan.Times/20, 1) // after that the server has allocated what it keeps
	begin := time.Now()
	for i := range e.plan.Times {
		if i == warm {
			if res.Before, err = proc.Resident(e.plan.ServerPID); err != nil {
				return err
			}
		}
		if err := e.joinAll(ctx); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if i == e.plan.Times-1 {
			if res.With, err = proc.Resident(e.plan.ServerPID); err != nil {
				return err
			}
		}
		e.leaveAll()
		if err := e.awaitEmpty(ctx); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	res.Join = time.Since(begin)
	res.Members = int64(e.plan.Rooms * e.plan.Members)
	if err := rest(ctx, e.plan.Settle); err != nil {
		return err
	}
	res.After, err = proc.Resident(e.plan.ServerPID)
	return err
}

// awaitEmpty waits until the server reports every room as empty.
func (e *engine) awaitEmpty(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i := range e.plan.Rooms {
		for n := -1; n != 0; {
			var err error
			if n, err = e.participants(ctx, e.roomName(i)); err != nil {
				return fmt.Errorf("%s should be empty: %w", e.roomName(i), err)
			}
			if n != 0 {
				if err := rest(ctx, 2*time.Millisecond); err != nil {
					return fmt.Errorf("%d are still in %s: %w", n, e.roomName(i), err)
				}
			}
		}
	}
	return nil
}

func (e *engine) participants(ctx context.Context, room string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.plan.Addr+"/rooms/"+room, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var body struct {
		Participants *int `json:"participant_count"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.Participants == nil {
		return 0, fmt.Errorf("no participant_count in the answer %s: %w", res.Status, err)
	}
	return *body.Participants, nil
}

func (e *engine) roomName(i int) string { return fmt.Sprintf("%s-%d", e.plan.Prefix, i) }

// rest waits for d.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func summary(h *stats.Histogram) *Latency {
	return &Latency{N: h.Count(), P50: h.Quantile(0.5), P99: h.Quantile(0.99), Max: h.Max()}
}
