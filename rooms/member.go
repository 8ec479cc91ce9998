package rooms

import (
	"sync/atomic"
	"time"
)

// Member is a connection's place in one room. A client with several connections has as many members and is one
// participant. The exported fields do not change after Join; the others but ended belong to the room's goroutine.
type Member struct {
	Conn     *Conn
	RoomID   string
	ClientID string

	room     *room
	audience *audience       // nil: sent nothing more
	index    int             // in audience
	present  bool            // has not left
	life     int             // the room's when it joined
	apart    bool            // is being handed other bytes than the rest of its audience
	ended    atomic.Bool     // its room has been deleted
	counted  <-chan struct{} // closed when all nodes count its client; nil: they do
}

// Ended reports that the room was deleted, and m's membership with it. It does so before m's connection is handed the event
// that says so, and may be called from any goroutine.
func (m *Member) Ended() bool { return m.ended.Load() }

// participant is what a Presence is told of m.
func (m *Member) participant(generation int64) Participant {
	return Participant{RoomID: m.RoomID, Generation: generation, ClientID: m.ClientID, Transport: m.Conn.Transport, At: time.Now()}
}
