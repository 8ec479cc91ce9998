package rooms

import "time"

// Member is a connection's place in one room. A client with several connections has as many members and is one
// participant. The exported fields do not change after Join; the others belong to the room's goroutine.
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
	counted  <-chan struct{} // closed when all nodes count its client; nil: they do
}

// participant is what a Presence is told of m.
func (m *Member) participant(generation int64) Participant {
	return Participant{RoomID: m.RoomID, Generation: generation, ClientID: m.ClientID, Transport: m.Conn.Transport, At: time.Now()}
}
