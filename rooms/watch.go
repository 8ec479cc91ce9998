package rooms

import (
	"context"
	"time"
)

// CatchUp has all rooms look soon for what the relay may have failed to tell: call it when the relay was away. It does not
// wait. It may be called from any goroutine.
func (h *Hub) CatchUp() {
	select {
	case h.look <- struct{}{}:
	default: // it is about to
	}
}

// watch compares the rooms with the store now and then, until Close.
func (h *Hub) watch(every time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h.watching.Go(func() { <-h.stop; cancel() })
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-tick.C:
		case <-h.look:
		}
		h.compare(ctx)
	}
}

// compare asks the store how far the rooms on this node have come, and tells those that are behind.
func (h *Hub) compare(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeBudget)
	defer cancel()
	type at struct {
		room *room
		head Head
	}
	h.mu.RLock()
	active := make([]*room, 0, len(h.active))
	for _, r := range h.active {
		active = append(active, r)
	}
	h.mu.RUnlock()
	places := make([]at, 0, len(active))
	ids := make([]string, 0, len(active))
	for _, r := range active {
		r.mu.Lock()
		head := r.head
		r.mu.Unlock()
		// A room whose goroutine is about to say where it is, or has nothing to say, is told what the store holds.
		places = append(places, at{r, head})
		ids = append(ids, r.id)
	}
	found := h.census.survey()
	heads, rooms, err := h.store.Heads(ctx, ids)
	if err != nil {
		return // the store is away; what it holds is compared when it is back
	}
	found(rooms)
	for _, p := range places {
		if head := heads[p.room.id]; head.Generation != p.head.Generation || head.LastSeq > p.head.LastSeq {
			p.room.hint(head)
		}
	}
}
