package floor

import (
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/traceroom/traceroom/web/ws"
)

// limit is how many messages wait for a member when it is dropped.
const limit = 4096

// Room is the one room. It implements http.Handler: each connection is a member, and all members see the same order. Lock order:
// mu, then a member's mu.
type Room struct {
	upgrader websocket.Upgrader

	mu      sync.Mutex
	members map[*member]struct{}
}

// member is one connection. mu guards its queue. Only the goroutine of write writes to the connection.
type member struct {
	conn net.Conn
	wake chan struct{} // capacity 1; has an element while the queue may not be empty

	mu    sync.Mutex
	queue net.Buffers
}

// New returns an empty room.
func New() *Room { return &Room{members: make(map[*member]struct{})} }

// ServeHTTP implements http.Handler.
func (r *Room) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	conn, err := r.upgrader.Upgrade(w, req, nil)
	if err != nil {
		return // the upgrader has answered
	}
	m := &member{conn: conn.NetConn(), wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.members[m] = struct{}{}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { m.write(); close(done) }()
	go func() { r.read(conn); r.remove(m, done) }()
}

// read broadcasts the client's messages until the connection ends.
func (r *Room) read(conn *websocket.Conn) {
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		r.broadcast(ws.AppendFrame(make([]byte, 0, len(text)+10), ws.Text, text))
	}
}

func (r *Room) broadcast(frame []byte) {
	r.mu.Lock()
	for m := range r.members {
		m.push(frame)
	}
	r.mu.Unlock()
}

func (r *Room) remove(m *member, written <-chan struct{}) {
	r.mu.Lock()
	delete(r.members, m)
	r.mu.Unlock()
	_ = m.conn.Close()
	close(m.wake) // push is called only for members in the map
	<-written
}

func (m *member) push(frame []byte) {
	m.mu.Lock()
	m.queue = append(m.queue, frame)
	n := len(m.queue)
	m.mu.Unlock()
	switch n {
	case 1:
		select {
		case m.wake <- struct{}{}:
		default:
		}
	case limit:
		_ = m.conn.Close() // ends read, which removes it
	}
}

// write writes all that is queued, at once, until the member is removed.
func (m *member) write() {
	var spare net.Buffers
	for range m.wake {
		m.mu.Lock()
		queue := m.queue
		m.queue = spare[:0]
		m.mu.Unlock()
		rest := queue
		if _, err := rest.WriteTo(m.conn); err != nil {
			_ = m.conn.Close()
			continue
		}
		clear(queue)
		spare = queue
	}
}
