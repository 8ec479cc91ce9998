package rooms

// Member is a connection's place in one room. A client with several connections has as many members and is one
// participant. The room's goroutine owns the membership; the fields here do not change after Join.
type Member struct {
	Conn     *Conn
	RoomID   string
	ClientID string
}
