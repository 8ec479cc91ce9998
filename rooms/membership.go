package rooms

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Member is a connection's membership of one room. A client with several connections has as many members and is one
// participant. The exported fields do not change after Join. The others belong to the room's goroutine, except ended.
type Member struct {
	Conn     *Conn
	RoomID   string
	ClientID string

	room      *room
	audience  *audience       // nil: is sent nothing any more
	index     int             // in audience
	present   bool            // has not left
	deletions int             // of the room when the member joined
	apart     bool            // gets other bytes than the rest of its audience in the delivery under way
	ended     atomic.Bool     // the room has been deleted
	counted   <-chan struct{} // closed when all nodes count the member's client; nil: they do
}

// Ended reports whether the room was deleted, and m's membership with it. It reports true before m's connection is handed the
// event that says so. It may be called from any goroutine.
func (m *Member) Ended() bool { return m.ended.Load() }

// participant is what Presence is told of m.
func (m *Member) participant(generation int64) Participant {
	return Participant{RoomID: m.RoomID, Generation: generation, ClientID: m.ClientID, Transport: m.Conn.Transport, At: time.Now()}
}

// audience is the members that are sent one wire format.
type audience struct {
	format  Format
	members []*Member
}

// addMember adds m to the room and to the audience of its format.
func (r *room) addMember(m *Member) {
	f := m.Conn.Sink.Format()
	i := slices.IndexFunc(r.audiences, func(a *audience) bool { return a.format == f })
	if i < 0 {
		i = len(r.audiences)
		r.audiences = append(r.audiences, &audience{format: f})
	}
	a := r.audiences[i]
	m.audience, m.index = a, len(a.members)
	a.members = append(a.members, m)
	m.present, m.deletions = true, r.deletions
	r.present++
	r.clients[m.ClientID]++
	r.participants.Store(int32(len(r.clients)))
	r.hub.members.Add(1)
}

// sendNoMore takes m out of its audience. It stays a member until it leaves.
func (r *room) sendNoMore(m *Member) {
	a := m.audience
	if a == nil {
		return
	}
	last := len(a.members) - 1
	a.members[m.index] = a.members[last]
	a.members[m.index].index = m.index
	a.members[last] = nil
	a.members = a.members[:last]
	m.audience = nil
	if cap(a.members) > 64 && last < cap(a.members)/4 {
		a.members = slices.Clone(a.members)
	}
}

// leave ends m's membership. If m was the last of its client, the client leaves the room.
func (r *room) leave(ctx context.Context, m *Member) {
	r.sendNoMore(m)
	if !m.present || m.deletions != r.deletions { // the deletion has ended the membership
		return
	}
	m.present = false
	r.present--
	r.hub.members.Add(-1)
	r.clients[m.ClientID]--
	if r.clients[m.ClientID] > 0 {
		return
	}
	delete(r.clients, m.ClientID)
	r.participants.Store(int32(len(r.clients)))
	r.hub.presence.Exit(ctx, m.participant(r.generation))
}

// removeAll removes all members, because the room was deleted, and tells their connections.
func (r *room) removeAll() {
	r.hub.members.Add(-int64(r.present))
	r.present = 0
	for _, a := range r.audiences {
		for _, m := range a.members {
			m.audience = nil
			m.Conn.Sink.Removed(m, RemovedDeleted)
		}
	}
	r.audiences = nil
	clear(r.clients)
	r.participants.Store(0)
}

// Leave implements Service.
func (h *Hub) Leave(ctx context.Context, m *Member) error {
	ctx = context.WithoutCancel(ctx)
	done := make(chan struct{})
	if !m.room.queue.add(task{ctx: ctx, do: func() { m.room.leave(ctx, m); close(done) }}) {
		return nil // the room has retired, and with it all memberships
	}
	select {
	case <-done:
		return nil
	case <-h.gone:
		return errClosing
	}
}
