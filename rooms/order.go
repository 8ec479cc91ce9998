package rooms

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Where several nodes write to a room, what they tell may come in another order than they were given numbers, by as much
// as the network makes of it. A message that is ahead of its turn waits gapWait for those before it; then they are read
// from the store. A store that cannot be read is asked again after gapRetry.
const (
	gapWait  = 20 * time.Millisecond
	gapRetry = 250 * time.Millisecond
)

// gap is what a room's goroutine knows of messages that are missing: since when the one after seq is, and the timer that
// wakes the room for it.
type gap struct {
	seq   int64
	until time.Time // zero: nothing is missing
	timer *time.Timer
}

// wait has wake called after d.
func (g *gap) wait(seq int64, d time.Duration, wake func()) {
	g.seq, g.until = seq, time.Now().Add(d)
	if g.timer == nil {
		g.timer = time.AfterFunc(d, wake)
	} else {
		g.timer.Reset(d)
	}
}

// end says that nothing is missing.
func (g *gap) end() {
	if !g.until.IsZero() {
		g.until = time.Time{}
		g.timer.Stop()
	}
}

// waited is the gap's timer.
func (r *room) waited() {
	r.mu.Lock()
	if r.retired {
		r.mu.Unlock()
		return
	}
	r.due = true
	r.wake()
}

// deliverArrivals hands what has arrived to the members, messages in the order of their sequence numbers, and sees to
// what is missing before them.
func (r *room) deliverArrivals() {
	r.mu.Lock()
	arrivals, news := r.arrivals, r.news
	r.arrivals, r.early = r.early, nil
	r.news, r.due = nil, false
	r.mu.Unlock()
	if news != nil {
		r.compare(*news)
	}
	if len(arrivals) == 0 {
		r.early = arrivals
		r.close()
		return
	}
	sortMessages(arrivals)
	for i := 0; i < len(arrivals); {
		a := arrivals[i]
		n := i + 1
		switch {
		case !r.current(a):
		case a.ev.Kind == EventMessage:
			n += r.messages(arrivals[i:])
		case a.ev.Kind == EventRoomDeleted:
			r.deliver(arrivals[i:n])
			r.deleted()
		case a.ev.Turn != 0:
			r.deliver([]arrival{r.inTurn(a)})
		default:
			r.deliver(arrivals[i:n])
		}
		i = n
	}
	clear(arrivals)
	if cap(arrivals) <= 2*maxAppend {
		r.early = arrivals[:0]
	}
	r.close()
}

// current reports whether a is about the room as it is. What is about a later generation says that this one was deleted.
func (r *room) current(a arrival) bool {
	if !r.loaded {
		return false // there are no members, and joining begins with what is stored by then
	}
	if g := a.ev.Generation; g != 0 && g != r.gen {
		if g > r.gen {
			r.gone(a.ctx)
		}
		return false
	}
	return true
}

// messages delivers the first of arrivals, a message, with those that follow on it, or has it wait for its turn. It
// returns how many more than one were delivered.
func (r *room) messages(arrivals []arrival) (more int) {
	seq := arrivals[0].ev.Message.Seq
	r.want = max(r.want, seq)
	if seq <= r.seq {
		return 0
	}
	if seq > r.seq+1 {
		r.hold(arrivals[0])
		return 0
	}
	n := 1
	for n < len(arrivals) && arrivals[n].ev.Kind == EventMessage && arrivals[n].ev.Message.Seq == seq+int64(n) &&
		arrivals[n].ev.Generation == r.gen {
		n++
	}
	r.seq += int64(n)
	r.want = max(r.want, r.seq)
	r.deliver(arrivals[:n])
	if len(r.held) > 0 {
		r.release()
	}
	return n - 1
}

// inTurn is a, which says that a client came or went, with the newest count: nodes may be heard in another order than
// things happened.
func (r *room) inTurn(a arrival) arrival {
	if a.ev.Turn > r.turn {
		r.turn, r.count = a.ev.Turn, a.ev.Participants
		return a
	}
	ev := *a.ev
	ev.Participants = r.count
	return arrival{a.ctx, &ev}
}

// hold keeps a message until those before it have come. What came first stays: it may know more than the store does. A
// message beyond the bound is read from the store later.
func (r *room) hold(a arrival) {
	seq := a.ev.Message.Seq
	r.want = max(r.want, seq)
	i, found := slices.BinarySearchFunc(r.held, seq, func(h arrival, seq int64) int { return cmp.Compare(h.ev.Message.Seq, seq) })
	if !found && len(r.held) < maxHeld {
		r.held = slices.Insert(r.held, i, a)
	}
}

// release delivers the held messages whose turn has come.
func (r *room) release() {
	late := 0
	for late < len(r.held) && r.held[late].ev.Message.Seq <= r.seq {
		late++
	}
	n := late
	for n < len(r.held) && r.held[n].ev.Message.Seq == r.seq+1 {
		r.seq++
		n++
	}
	if n > late {
		r.deliver(r.held[late:n])
	}
	r.held = slices.Delete(r.held, 0, n)
}

// close sees to a gap, if there is one: it is waited for, and then read from the store.
func (r *room) close() {
	if r.seq >= r.want || r.participants.Load() == 0 {
		r.skip()
		r.gap.end()
		return
	}
	switch {
	case r.gap.until.IsZero() || r.gap.seq != r.seq:
		r.gap.wait(r.seq, gapWait, r.waited)
	case !time.Now().Before(r.gap.until):
		ctx, cancel := budget(context.Background())
		defer cancel()
		if r.fill(ctx) != nil {
			r.gap.wait(r.seq, gapRetry, r.waited)
			return
		}
		r.gap.end()
	}
}

// skip goes on behind want without telling: there is nobody to tell, or nothing to be told.
func (r *room) skip() {
	if r.seq < r.want {
		r.seq, r.held = r.want, slices.Delete(r.held, 0, len(r.held))
	}
}

// fill delivers all messages up to want: those that are held, and between them those that only the store has.
func (r *room) fill(ctx context.Context) error {
	for r.release(); r.loaded && r.seq < r.want; r.release() {
		upTo := r.want
		if len(r.held) > 0 {
			upTo = r.held[0].ev.Message.Seq - 1
		}
		messages, err := r.hub.store.After(ctx, r.id, r.seq, int(min(upTo-r.seq, maxCatchUp)))
		if err != nil {
			return err
		}
		arrivals := make([]arrival, 0, len(messages))
		for _, m := range messages {
			if m.Generation != r.gen {
				r.gone(ctx)
				return nil
			}
			if m.Seq > upTo {
				break
			}
			arrivals = append(arrivals, stored(ctx, m))
		}
		if r.hub.hooks.CaughtUp != nil {
			r.hub.hooks.CaughtUp(r.id, len(arrivals))
		}
		if len(arrivals) == 0 {
			r.seq = upTo // what is missing was deleted
			continue
		}
		r.seq = arrivals[len(arrivals)-1].ev.Message.Seq
		r.deliver(arrivals)
	}
	return nil
}

// stored is a message that was read from the store, as an arrival.
func stored(ctx context.Context, m *Message) arrival {
	return arrival{ctx, &Event{
		Kind: EventMessage, RoomID: m.RoomID, Generation: m.Generation, ClientID: m.ClientID, Message: m, Trace: m.Trace, Received: time.Now(),
	}}
}

// compare takes note of what the store was found to hold.
func (r *room) compare(head Head) {
	switch {
	case !r.loaded:
	case head.Generation == r.gen:
		r.want = max(r.want, head.LastSeq)
	case head.Generation == 0 || head.Generation > r.gen:
		// It was deleted, or was not there yet when the store was asked.
		ctx, cancel := budget(context.Background())
		defer cancel()
		info, err := r.hub.store.Room(ctx, r.id)
		if errors.Is(err, ErrNotFound) || err == nil && info.Generation != r.gen {
			r.gone(ctx)
		}
	}
}

// sortMessages puts the messages among arrivals in the order of their numbers, and leaves other events where they are.
func sortMessages(arrivals []arrival) {
	last, sorted := int64(0), true
	for _, a := range arrivals {
		if a.ev.Kind == EventRoomDeleted {
			return // numbers begin anew behind it
		}
		if a.ev.Kind == EventMessage {
			sorted = sorted && a.ev.Message.Seq >= last
			last = a.ev.Message.Seq
		}
	}
	if sorted {
		return
	}
	var places []int
	var messages []arrival
	for i, a := range arrivals {
		if a.ev.Kind == EventMessage {
			places = append(places, i)
			messages = append(messages, a)
		}
	}
	slices.SortStableFunc(messages, func(a, b arrival) int {
		return cmp.Or(cmp.Compare(a.ev.Generation, b.ev.Generation), cmp.Compare(a.ev.Message.Seq, b.ev.Message.Seq))
	})
	for i, at := range places {
		arrivals[at] = messages[i]
	}
}
