//go:build linux

package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/traceroom/traceroom/app/bench/wire"
)

// joined is a connection that was dialled, or the error.
type joined struct {
	client *client
	rest   []byte
	err    error
}

// joinAll connects all members of all rooms and reads meanwhile. It returns when the server has delivered a message to every
// member.
func (e *engine) joinAll(ctx context.Context) error {
	p := e.plan
	want := make(chan *client, p.Rooms*p.Members)
	have := make(chan joined, p.Rooms*p.Members)
	e.rooms = make([]*room, p.Rooms)
	for i := range e.rooms {
		r := &room{number: uint16(i), clients: make([]*client, p.Members)}
		r.ledger.alive = p.Members
		if p.Ack == AckAll {
			r.ledger.complete = func(n uint32) { e.allow(r.clients[r.ledger.from[n]]) }
		}
		e.rooms[i] = r
	}
	// All rooms' first members come first: room by room, the joins of one room would wait for each other.
	for m := range p.Members {
		for i, r := range e.rooms {
			d := p.Dialect
			if m >= p.Senders && m > 0 && p.Silent != "" {
				d = p.Silent
			}
			want <- &client{fd: -1, index: m, room: r, script: scriptOf(d, e.roomName(i), fmt.Sprintf("m%d", m))}
		}
	}
	close(want)
	var dialers sync.WaitGroup
	for range max(p.Dialers, 1) {
		dialers.Go(func() {
			for c := range want {
				s, err := dial(e.addrs[c.index%len(e.addrs)], c.script)
				c.fd = s.fd
				have <- joined{c, s.rest, err}
				if err != nil {
					return
				}
			}
		})
	}
	err := e.takeJoined(ctx, have, p.Rooms*p.Members)
	if err != nil {
		for range want { // the others need not be dialled
		}
		dialers.Wait()
		return err
	}
	dialers.Wait()
	return e.syncAll(ctx)
}

// takeJoined adds n connections as they are dialled.
func (e *engine) takeJoined(ctx context.Context, have <-chan joined, n int) error {
	for n > 0 {
		select {
		case j := <-have:
			n--
			if j.err != nil {
				return fmt.Errorf("join: %w", j.err)
			}
			c := j.client
			c.room.clients[c.index] = c
			if err := e.add(c); err != nil {
				return err
			}
			if !e.take(c, j.rest) {
				e.drop(c)
			}
		default:
			if err := e.waitFor(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		if e.closed > 0 {
			return fmt.Errorf("the server closed %d connections while others joined", e.closed)
		}
	}
	return nil
}

// syncAll has the first member of each room send sync messages until every member has received one, and then waits until all
// members have received the last one.
func (e *engine) syncAll(ctx context.Context) error {
	const again = 100 * time.Millisecond
	last := uint32(0)
	for begin := time.Now(); !e.heard(1); {
		last++
		for _, r := range e.rooms {
			if c := r.clients[0]; !c.gone {
				e.say(c, wire.SyncRoom, last)
				e.flush(c)
			}
		}
		e.syncs += int64(len(e.rooms))
		for next := time.Now().Add(again); time.Now().Before(next) && !e.heard(last); {
			if err := e.waitFor(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("after %v not all members receive their room's messages", patience)
		}
	}
	for begin := time.Now(); !e.heard(last); {
		if err := e.waitFor(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("after %v not all members have received the last sync message", patience)
		}
	}
	if e.closed > 0 {
		return fmt.Errorf("the server closed %d connections before the first message", e.closed)
	}
	return nil
}

// heard reports whether all members have received sync message n.
func (e *engine) heard(n uint32) bool {
	for _, r := range e.rooms {
		for _, c := range r.clients {
			if c.sync < n && !c.gone {
				return false
			}
		}
	}
	return true
}
