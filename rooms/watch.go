package rooms

import (
	"context"
	"time"
)

// CatchUp has all rooms compared with the store at once, without waiting for that. Call it when the relay has been away: rooms may
// have missed events. It may be called from any goroutine.
func (h *Hub) CatchUp() {
	select {
	case h.look <- struct{}{}:
	default: // it has been asked for already
	}
}

// watch compares the rooms with the store every so often, until Close.
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
		h.compareWithStore(ctx)
	}
}

// compareWithStore asks the store how far the rooms on this node have come, and tells those that are behind.
func (h *Hub) compareWithStore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeBudget)
	defer cancel()
	type place struct {
		room *room
		head Head
	}
	h.mu.RLock()
	active := make([]*room, 0, len(h.active))
	for _, r := range h.active {
		active = append(active, r)
	}
	h.mu.RUnlock()
	places := make([]place, 0, len(active))
	ids := make([]string, 0, len(active))
	for _, r := range active {
		// Where a room is must be known before the store is asked. A room that is not loaded is told in any case.
		places = append(places, place{r, r.queue.at()})
		ids = append(ids, r.id)
	}
	counted := h.census.survey()
	heads, rooms, err := h.store.Heads(ctx, ids)
	if err != nil {
		return // when the store is back, the next comparison finds what was missed
	}
	counted(rooms)
	for _, p := range places {
		if head := heads[p.room.id]; head.Generation != p.head.Generation || head.LastSeq > p.head.LastSeq {
			p.room.queue.hint(head)
		}
	}
}
