//go:build linux

package load

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/traceroom/traceroom/app/bench/proc"
	"github.com/traceroom/traceroom/app/bench/stats"
)

// fanout joins all members, sends for as long as the plan says, and waits for the last message.
func (e *engine) fanout(ctx context.Context, res *Result) error {
	begin := time.Now()
	if err := e.joinAll(ctx); err != nil {
		return err
	}
	res.Join = time.Since(begin)
	res.Members = int64(e.plan.Rooms * e.plan.Members)

	var pump func(d time.Duration) error
	if e.plan.Rate > 0 {
		rate, err := e.openLoop(ctx)
		if err != nil {
			return err
		}
		pump = rate
	} else {
		pump = e.closedLoop(ctx)
	}
	if err := pump(e.plan.Warmup); err != nil {
		return err
	}
	if e.plan.Rate > 0 {
		e.latency = new(stats.Histogram)
	}
	if err := e.window(res, pump); err != nil {
		return err
	}
	if err := e.settle(ctx, res); err != nil {
		return err
	}
	if e.latency != nil {
		res.Latency = summary(e.latency)
	}
	return nil
}

// window runs pump and measures meanwhile.
func (e *engine) window(res *Result, pump func(time.Duration) error) error {
	before, err := e.counters()
	if err != nil {
		return err
	}
	step := e.plan.Sample
	if step == 0 {
		step = e.plan.Measure
	}
	for end := before.at.Add(e.plan.Measure); ; {
		left := time.Until(end)
		if left <= 0 || e.enough() {
			break
		}
		if err := pump(min(step, left)); err != nil {
			return err
		}
		if e.plan.Sample > 0 {
			rss, err := proc.Resident(e.plan.ServerPID)
			if err != nil {
				return err
			}
			res.Memory = append(res.Memory, Sample{time.Since(before.at).Seconds(), rss})
		}
	}
	after, err := e.counters()
	if err != nil {
		return err
	}
	res.Seconds = after.at.Sub(before.at).Seconds()
	res.Messages = after.sent - before.sent
	res.Deliveries = after.delivered - before.delivered
	res.Bytes = after.bytes - before.bytes
	res.ServerCPU = after.server - before.server
	res.ClientCPU = after.client - before.client
	res.OtherCPU = after.machine - before.machine - res.ServerCPU - res.ClientCPU - (after.collector - before.collector)
	for i := range after.families {
		used := after.families[i] - before.families[i]
		res.FamilyCPU = append(res.FamilyCPU, used)
		res.OtherCPU -= used
	}
	return nil
}

// reading is the values of all counters at one moment.
type reading struct {
	at              time.Time
	sent, delivered int64
	bytes           int64
	// CPU time of the server, this process, the receiver of traces, and all cores together.
	server, client, collector, machine time.Duration
	families                           []time.Duration
}

func (e *engine) counters() (r reading, err error) {
	r = reading{at: time.Now(), bytes: e.bytes}
	r.sent, r.delivered = e.totals()
	if r.server, err = proc.CPU(e.plan.ServerPID); err != nil {
		return r, err
	}
	for _, s := range e.plan.More {
		cpu, err := proc.CPU(s.PID)
		if err != nil {
			return r, err
		}
		r.server += cpu
	}
	for _, pid := range e.plan.Families {
		cpu, err := proc.FamilyCPU(pid)
		if err != nil {
			return r, err
		}
		r.families = append(r.families, cpu)
	}
	if r.client, err = proc.CPU(os.Getpid()); err != nil {
		return r, err
	}
	if e.plan.CollectorPID > 0 {
		if r.collector, err = proc.CPU(e.plan.CollectorPID); err != nil {
			return r, err
		}
	}
	r.machine, err = proc.Busy()
	return r, err
}

func (e *engine) totals() (sent, delivered int64) {
	for _, r := range e.rooms {
		sent += int64(r.ledger.sent)
		delivered += r.ledger.delivered
	}
	return sent, delivered
}

// enough reports whether the number of messages that the plan limits a run to has been sent.
func (e *engine) enough() bool {
	if e.plan.Messages == 0 {
		return false
	}
	sent, _ := e.totals()
	return sent >= int64(e.plan.Messages)
}

// closedLoop opens every sender's window. The returned function keeps the loop running for the given time.
func (e *engine) closedLoop(ctx context.Context) (pump func(time.Duration) error) {
	e.paused = false
	for _, r := range e.rooms {
		for _, c := range r.clients[:e.plan.Senders] {
			c.owes = e.plan.Inflight
			e.mark(c)
		}
	}
	e.sendDue()
	return func(d time.Duration) error {
		for end := time.Now().Add(d); ; {
			left := time.Until(end)
			if left <= 0 || e.enough() {
				return nil
			}
			if err := e.waitFor(ctx, min(left, 100*time.Millisecond)); err != nil {
				return err
			}
		}
	}
}

// openLoop starts a timer at the plan's rate, whose messages are spread evenly over all senders. A message's latency counts from
// when it was due to be sent, so that it includes delays of a client or server that falls behind.
func (e *engine) openLoop(ctx context.Context) (pump func(time.Duration) error, err error) {
	e.paused = false
	interval := time.Duration(float64(time.Second) / e.plan.Rate)
	e.sentAt = make([][]time.Duration, len(e.rooms))
	var turn int
	if err := e.tick(interval); err != nil {
		return nil, err
	}
	due := time.Since(e.epoch)
	return func(d time.Duration) error {
		for end := time.Now().Add(d); ; {
			left := time.Until(end)
			if left <= 0 || e.enough() {
				return nil
			}
			n, err := e.wait(ctx, min(left, 100*time.Millisecond))
			if err != nil {
				return err
			}
			for range n {
				due += interval
				r := e.rooms[turn%len(e.rooms)]
				c := r.clients[turn/len(e.rooms)%e.plan.Senders]
				turn++
				if c.gone {
					continue
				}
				e.sentAt[r.number] = append(e.sentAt[r.number], due)
				e.say(c, r.number, r.ledger.send(c.index))
				e.mark(c)
			}
			e.sendDue()
		}
	}, nil
}

// settle stops sending, waits until all messages are delivered or no more arrive, and fills in the totals.
func (e *engine) settle(ctx context.Context, res *Result) error {
	const giveUp = 3 * time.Second
	e.paused = true
	if e.timer >= 0 {
		e.untick()
	}
	last, since := int64(-1), time.Now()
	for {
		sent, delivered := e.totals()
		if delivered >= sent*int64(e.plan.Members) {
			break
		}
		if delivered != last {
			last, since = delivered, time.Now()
		} else if time.Since(since) > giveUp {
			break
		}
		if err := e.waitFor(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	res.Sent, res.Delivered = e.totals()
	res.Lost = res.Sent*int64(e.plan.Members) - res.Delivered
	for _, r := range e.rooms {
		res.Misplaced += r.ledger.misplaced
	}
	res.Damaged, res.Closed = e.damaged, e.closed
	if res.Sent == 0 {
		return errors.New("nothing was sent")
	}
	return nil
}
