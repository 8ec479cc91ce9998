package rooms

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Where several nodes write to a room, their events may arrive in another order than that of the sequence numbers. A message
// that arrives too early is held for gapWait, until those before it have arrived; then they are read from the store. If that fails,
// it is tried again after gapRetry.
const (
	gapWait  = 20 * time.Millisecond
	gapRetry = 250 * time.Millisecond
)

// gap is the wait for messages that are missing after delivered. It belongs to the room's goroutine.
type gap struct {
	after int64     // delivered when the wait began
	until time.Time // zero: nothing is missing
	timer *time.Timer
}

// wait waits for the messages after this number. When d has passed, it calls due in a goroutine of its own.
func (g *gap) wait(after int64, d time.Duration, due func()) {
	g.after, g.until = after, time.Now().Add(d)
	if g.timer == nil {
		g.timer = time.AfterFunc(d, due)
	} else {
		g.timer.Reset(d)
	}
}

// end ends the wait, if there is one.
func (g *gap) end() {
	if !g.until.IsZero() {
		g.until = time.Time{}
		g.timer.Stop()
	}
}

// deliverArrivals delivers what has arrived, messages in the order of their sequence numbers, and deals with a gap.
func (r *room) deliverArrivals() {
	arrivals, head := r.queue.takeArrivals()
	if head != nil {
		r.reconcile(*head)
	}
	if len(arrivals) > 0 {
		sortMessages(arrivals)
	}
	for i := 0; i < len(arrivals); {
		a := arrivals[i]
		n := i + 1
		switch {
		case !r.isCurrent(a):
		case a.ev.Kind == EventMessage:
			n += r.deliverInOrder(arrivals[i:])
		case a.ev.Kind == EventRoomDeleted:
			r.deleted(a)
		case a.ev.Turn != 0:
			r.deliver([]arrival{r.withNewestCount(a)})
		default:
			r.deliver(arrivals[i:n])
		}
		i = n
	}
	r.queue.reuseArrivals(arrivals)
	r.closeGap()
	r.tellRepeats()
}

// isCurrent reports whether a is about the room as it is. An event of a later generation says that this one was deleted.
func (r *room) isCurrent(a arrival) bool {
	if !r.loaded {
		return false // there are no members, and who joins is shown what is stored by then
	}
	if g := a.ev.Generation; g != 0 && g != r.generation {
		if g > r.generation {
			r.foundDeleted(a.ctx)
		}
		return false
	}
	return true
}

// deliverInOrder delivers the first of arrivals, a message, together with the next messages directly behind it, or holds it
// until its turn. It returns how many it delivered beside the first.
func (r *room) deliverInOrder(arrivals []arrival) (more int) {
	seq := arrivals[0].ev.Message.Seq
	r.known = max(r.known, seq)
	if seq <= r.delivered {
		return 0
	}
	if seq > r.delivered+1 {
		r.hold(arrivals[0])
		return 0
	}
	n := 1
	for n < len(arrivals) && arrivals[n].ev.Kind == EventMessage && arrivals[n].ev.Message.Seq == seq+int64(n) &&
		arrivals[n].ev.Generation == r.generation {
		n++
	}
	r.delivered += int64(n)
	r.known = max(r.known, r.delivered)
	r.deliver(arrivals[:n])
	if len(r.held) > 0 {
		r.deliverHeld()
	}
	return n - 1
}

// withNewestCount returns a, which says that a client came or went, with the newest number of participants: events of several
// nodes may arrive in another order than the changes happened.
func (r *room) withNewestCount(a arrival) arrival {
	if a.ev.Turn > r.newestTurn {
		r.newestTurn, r.newestCount = a.ev.Turn, a.ev.Participants
		return a
	}
	ev := *a.ev
	ev.Participants = r.newestCount
	return arrival{a.ctx, &ev}
}

// hold keeps a message until those before it have arrived. Of two with the same number the first stays: an event from the
// relay says more than the store. A message beyond maxHeld is dropped, and read from the store later.
func (r *room) hold(a arrival) {
	seq := a.ev.Message.Seq
	r.known = max(r.known, seq)
	i, found := slices.BinarySearchFunc(r.held, seq, func(h arrival, seq int64) int { return cmp.Compare(h.ev.Message.Seq, seq) })
	if !found && len(r.held) < maxHeld {
		r.held = slices.Insert(r.held, i, a)
	}
}

// deliverHeld delivers the held messages that come directly behind delivered.
func (r *room) deliverHeld() {
	late := 0
	for late < len(r.held) && r.held[late].ev.Message.Seq <= r.delivered {
		late++
	}
	n := late
	for n < len(r.held) && r.held[n].ev.Message.Seq == r.delivered+1 {
		r.delivered++
		n++
	}
	if n > late {
		r.deliver(r.held[late:n])
	}
	r.held = slices.Delete(r.held, 0, n)
}

// closeGap waits for the messages between delivered and known, if there are any, and catches up when it has waited long enough.
func (r *room) closeGap() {
	if r.delivered >= r.known || r.participants.Load() == 0 {
		r.skip()
		r.gap.end()
		return
	}
	switch {
	case r.gap.until.IsZero() || r.gap.after != r.delivered:
		r.gap.wait(r.delivered, gapWait, r.queue.gapIsDue)
	case !time.Now().Before(r.gap.until):
		ctx, cancel := r.budget(context.Background())
		defer cancel()
		if r.catchUp(ctx) != nil {
			r.gap.wait(r.delivered, gapRetry, r.queue.gapIsDue)
			return
		}
		r.gap.end()
	}
}

// skip passes over the messages up to known, where there is nobody to deliver them to, or nothing to deliver.
func (r *room) skip() {
	if r.delivered < r.known {
		r.delivered, r.held = r.known, slices.Delete(r.held, 0, len(r.held))
	}
}

// catchUp delivers all messages up to known: those that are held, and those that are missing between them, from the store.
func (r *room) catchUp(ctx context.Context) error {
	for r.deliverHeld(); r.loaded && r.delivered < r.known; r.deliverHeld() {
		upTo := r.known
		if len(r.held) > 0 {
			upTo = r.held[0].ev.Message.Seq - 1
		}
		messages, _, err := r.hub.store.After(ctx, r.id, r.delivered, ReadLimit{int(min(upTo-r.delivered, maxCatchUp)), maxCatchUpBytes})
		if err != nil {
			return err
		}
		arrivals := make([]arrival, 0, len(messages))
		for _, m := range messages {
			if m.Generation != r.generation {
				r.foundDeleted(ctx)
				return nil
			}
			if m.Seq > upTo {
				break
			}
			arrivals = append(arrivals, arrivalOf(ctx, m))
		}
		if r.hub.hooks.CaughtUp != nil {
			r.hub.hooks.CaughtUp(r.id, len(arrivals))
		}
		if len(arrivals) == 0 {
			// The missing messages have been deleted, or the whole room has; in that case the members must not be shown the
			// rest as if it were all.
			if exists, err := r.stillExists(ctx); err != nil || !exists {
				return err
			}
			r.delivered = upTo
			continue
		}
		r.delivered = arrivals[len(arrivals)-1].ev.Message.Seq
		r.deliver(arrivals)
	}
	return nil
}

// stillExists asks the store whether the room exists as this generation. If it does not, the members are told.
func (r *room) stillExists(ctx context.Context) (bool, error) {
	if !r.hub.shared {
		return true, nil
	}
	info, err := r.hub.store.Room(ctx, r.id)
	if errors.Is(err, ErrNotFound) || err == nil && info.Generation != r.generation {
		r.foundDeleted(ctx)
		return false, nil
	}
	return err == nil, err
}

// maxEchoes is how many senders of repeated messages may wait to be told. Others are not told; they may send again.
const maxEchoes = 256

// repeat has the sender of a repeated message told, as soon as everything before that message has been delivered.
func (r *room) repeat(a arrival) {
	m := a.ev.from
	if m == nil || m.room != r || m.audience == nil || a.ev.Generation != r.generation || len(r.echoes) >= maxEchoes {
		return
	}
	a.ev.Trace = a.ev.Message.Trace
	r.known = max(r.known, a.ev.Message.Seq) // another node may have stored it
	r.echoes = append(r.echoes, a)
}

// tellRepeats tells the senders of repeated messages that have been delivered.
func (r *room) tellRepeats() {
	if len(r.echoes) == 0 {
		return
	}
	r.echoes = slices.DeleteFunc(r.echoes, func(a arrival) bool {
		if a.ev.Message.Seq > r.delivered {
			return false
		}
		if m := a.ev.from; m.audience != nil && !r.deliverTo(m, a.ev) {
			r.drop(m)
		}
		return true
	})
}

// arrivalOf makes an arrival of a message that was read from the store.
func arrivalOf(ctx context.Context, m *Message) arrival {
	return arrival{ctx, &Event{
		Kind: EventMessage, RoomID: m.RoomID, Generation: m.Generation, ClientID: m.ClientID, Message: m, Trace: m.Trace, Received: time.Now(),
	}}
}

// reconcile compares the room with how far the store was found to have come.
func (r *room) reconcile(head Head) {
	switch {
	case !r.loaded:
	case head.Generation == r.generation:
		r.known = max(r.known, head.LastSeq)
	case head.Generation == 0 || head.Generation > r.generation:
		// It was deleted, or did not exist yet when the store was asked.
		ctx, cancel := r.budget(context.Background())
		defer cancel()
		info, err := r.hub.store.Room(ctx, r.id)
		if errors.Is(err, ErrNotFound) || err == nil && info.Generation != r.generation {
			r.foundDeleted(ctx)
		}
	}
}

// sortMessages sorts the messages among arrivals by their sequence numbers, and leaves other events in their places.
func sortMessages(arrivals []arrival) {
	last, sorted := int64(0), true
	for _, a := range arrivals {
		if a.ev.Kind == EventRoomDeleted {
			return // the numbers behind it begin anew
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
