package page

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web"
)

// message is a message as the server sends it.
type message struct {
	Type        string `json:"type"`
	ClientID    string `json:"client_id"`
	Text        string `json:"text"`
	RoomID      string `json:"room_id"`
	Timestamp   int64  `json:"timestamp"`
	Seq         int64  `json:"seq"`
	ID          string `json:"id"`
	Traceparent string `json:"traceparent,omitempty"`
	Ref         string `json:"ref,omitempty"`
}

// clientFrame is what the page sends.
type clientFrame struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Ref         string `json:"ref"`
	Traceparent string `json:"traceparent"`
}

// mock is a server as far as the page can tell: the page itself, the rooms' REST calls and the WebSocket. It can be
// stopped and started again on its port without forgetting anything, and does on demand what a server does at times.
type mock struct {
	t    *testing.T
	addr string
	page http.Handler
	now  func() time.Time

	traces *mockTraces

	mu      sync.Mutex // guards all below, and writing to sockets
	server  *httptest.Server
	rooms   map[string]*mockRoom
	order   []string
	members map[*mockMember]struct{}
	dials   []string      // of every WebSocket handshake, path and query
	frames  []clientFrame // all that pages have sent, but for typing
	typings int
	// answer, if not nil, is asked before a message frame is dealt with; true: it has been.
	answer func(c *mockMember, f clientFrame) bool
	done   sync.WaitGroup
}

type mockRoom struct {
	id, name string
	created  int64
	messages []message
	seq      int64
	epoch    string
	refs     map[string]message // by client and ref
}

type mockMember struct {
	room, client string
	conn         *websocket.Conn
}

func newMock(t *testing.T, cfg Config) *mock {
	t.Helper()
	m := &mock{
		t: t, page: Handler(cfg), now: time.Now, traces: newMockTraces(),
		rooms: map[string]*mockRoom{}, members: map[*mockMember]struct{}{},
	}
	for _, id := range []string{"general", "go", "random"} {
		m.create(id, "")
	}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *mock) origin() string { return "http://" + m.addr }

// start listens, on the port that it had before if it had one.
func (m *mock) start() {
	m.t.Helper()
	addr := m.addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	require.NoError(m.t, err)
	m.addr = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms", m.list)
	mux.HandleFunc("POST /rooms", m.post)
	mux.HandleFunc("GET /rooms/{room}", m.get)
	mux.HandleFunc("GET /ws/{room}/{client}", m.socket)
	m.traces.register(mux)
	mux.Handle("/", m.page)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	server.Start()
	m.mu.Lock()
	m.server = server
	m.mu.Unlock()
}

// stop tells every member 1001 and closes the port. Stopping twice is nothing.
func (m *mock) stop() {
	m.mu.Lock()
	server := m.server
	m.server = nil
	for c := range m.members {
		c.close(websocket.CloseGoingAway)
	}
	m.mu.Unlock()
	if server != nil {
		m.traces.end()
		server.Close()
	}
	m.done.Wait()
}

func (m *mock) create(id, name string) (*mockRoom, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.createLocked(id, name)
}

func (m *mock) createLocked(id, name string) (*mockRoom, bool) {
	if r, ok := m.rooms[id]; ok {
		return r, false
	}
	if name == "" {
		name = id
	}
	r := &mockRoom{id: id, name: name, created: m.now().UnixNano(), epoch: randomHex(4), refs: map[string]message{}}
	m.rooms[id] = r
	m.order = append(m.order, id)
	return r, true
}

// say has client say text in a room, by another way than a page.
func (m *mock) say(room, client, text string) message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sayLocked(nil, room, client, clientFrame{Text: text})
}

func (m *mock) sayLocked(from *mockMember, room, client string, f clientFrame) message {
	r, _ := m.createLocked(room, "")
	r.seq++
	msg := message{
		Type: "message", ClientID: client, Text: f.Text, RoomID: room, Timestamp: m.now().UnixMilli(), Seq: r.seq,
		ID: randomHex(16), Traceparent: serverTraceparent(f.Traceparent),
	}
	r.messages = append(r.messages, msg)
	if f.Ref != "" {
		r.refs[client+" "+f.Ref] = msg
	}
	for c := range m.members {
		if c.room != room {
			continue
		}
		out := msg
		if c == from {
			out.Ref = f.Ref
		}
		c.write(out)
	}
	return msg
}

// tell sends frame to all members of a room but one client.
func (m *mock) tell(room, except string, frame any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tellLocked(room, except, frame)
}

func (m *mock) tellLocked(room, except string, frame any) {
	for c := range m.members {
		if c.room == room && c.client != except {
			c.write(frame)
		}
	}
}

// closeAll closes every member's connection with a code, if it is not zero, else without a word.
func (m *mock) closeAll(code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.members {
		c.close(code)
	}
}

// deleteRoom does what DELETE /rooms/{room} does.
func (m *mock) deleteRoom(room string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
	m.order = slices.DeleteFunc(m.order, func(id string) bool { return id == room })
	for c := range m.members {
		if c.room == room {
			c.write(map[string]any{"type": "room_deleted", "room_id": room})
			c.close(4001)
		}
	}
}

// onMessage sets what answers message frames; nil: as a server does.
func (m *mock) onMessage(answer func(c *mockMember, f clientFrame) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *mock) sent() []clientFrame {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.frames)
}

func (m *mock) dialled() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.dials)
}

func (m *mock) typed() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.typings
}

func (m *mock) participantsLocked(room string) int {
	clients := map[string]bool{}
	for c := range m.members {
		if c.room == room {
			clients[c.client] = true
		}
	}
	return len(clients)
}

func (m *mock) participants(room string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.participantsLocked(room)
}

func (m *mock) roomLocked(r *mockRoom) map[string]any {
	return map[string]any{
		"room_id": r.id, "name": r.name, "participant_count": m.participantsLocked(r.id),
		"message_count": len(r.messages), "created_at": r.created,
	}
}

func (m *mock) list(w http.ResponseWriter, _ *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rooms := []any{}
	for _, id := range m.order {
		rooms = append(rooms, m.roomLocked(m.rooms[id]))
	}
	reply(w, http.StatusOK, map[string]any{"rooms": rooms, "count": len(rooms)})
}

func (m *mock) get(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	room, ok := m.rooms[r.PathValue("room")]
	if !ok {
		web.Refuse(w, http.StatusNotFound, "room "+r.PathValue("room")+" does not exist")
		return
	}
	reply(w, http.StatusOK, m.roomLocked(room))
}

func (m *mock) post(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("room_id")
	if id == "forbidden" {
		web.Refuse(w, http.StatusServiceUnavailable, "the store is down")
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	room, created := m.createLocked(id, r.URL.Query().Get("name"))
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	reply(w, status, m.roomLocked(room))
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

var upgrader = websocket.Upgrader{}

func (m *mock) socket(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.dials = append(m.dials, r.URL.RequestURI())
	m.mu.Unlock()
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &mockMember{room: r.PathValue("room"), client: r.PathValue("client"), conn: conn}
	if c.client == "outcast" {
		c.close(4003)
		_ = conn.Close()
		return
	}
	if !m.join(c, r.URL.Query()) {
		_ = conn.Close()
		return
	}
	defer m.done.Done()
	defer m.leave(c)
	for {
		var f clientFrame
		if err := conn.ReadJSON(&f); err != nil {
			return
		}
		m.receive(c, f)
	}
}

func (m *mock) join(c *mockMember, query url.Values) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		return false
	}
	m.done.Add(1)
	room, _ := m.createLocked(c.room, "")
	history := room.messages
	frame := map[string]any{"type": "history", "room_id": c.room, "epoch": room.epoch}
	after, err := strconv.ParseInt(query.Get("since"), 10, 64)
	if reset := err == nil && (after > room.seq || query.Has("epoch") && query.Get("epoch") != room.epoch); err == nil && !reset {
		history = slices.DeleteFunc(slices.Clone(history), func(msg message) bool { return msg.Seq <= after })
		if len(history) > 1000 {
			history, frame["truncated"] = history[len(history)-1000:], true
		}
	} else {
		history = history[max(0, len(history)-100):]
		if reset {
			frame["reset"] = true
		}
	}
	for len(history) > 256 {
		frame["messages"], frame["more"] = history[:256], true
		c.write(maps.Clone(frame))
		delete(frame, "truncated")
		delete(frame, "reset")
		delete(frame, "more")
		history = history[256:]
	}
	frame["messages"] = append([]message{}, history...)
	c.write(frame)
	first := !m.hereLocked(c.room, c.client)
	m.members[c] = struct{}{}
	if first {
		m.tellLocked(c.room, c.client, map[string]any{
			"type": "user_joined", "client_id": c.client, "room_id": c.room, "participant_count": m.participantsLocked(c.room),
		})
	}
	return true
}

func (m *mock) leave(c *mockMember) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = c.conn.Close()
	delete(m.members, c)
	if !m.hereLocked(c.room, c.client) {
		m.tellLocked(c.room, c.client, map[string]any{
			"type": "user_left", "client_id": c.client, "room_id": c.room, "participant_count": m.participantsLocked(c.room),
		})
	}
}

func (m *mock) hereLocked(room, client string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(m.members)), func(c *mockMember) bool {
		return c.room == room && c.client == client
	})
}

func (m *mock) receive(c *mockMember, f clientFrame) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch f.Type {
	case "typing":
		m.typings++
		m.tellLocked(c.room, c.client, map[string]any{"type": "typing", "client_id": c.client, "room_id": c.room})
	case "message":
		m.frames = append(m.frames, f)
		if m.answer != nil && m.answer(c, f) {
			return
		}
		if r := m.rooms[c.room]; r != nil {
			if said, ok := r.refs[c.client+" "+f.Ref]; ok {
				said.Ref = f.Ref
				c.write(said)
				return
			}
		}
		m.sayLocked(c, c.room, c.client, f)
	}
}

// write and close need the mock's lock.
func (c *mockMember) write(frame any) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	_ = c.conn.WriteJSON(frame)
}

func (c *mockMember) close(code int) {
	if code != 0 {
		text := websocket.FormatCloseMessage(code, "")
		_ = c.conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
	}
	_ = c.conn.NetConn().SetReadDeadline(time.Now()) // Its reader ends and closes it.
}

// serverTraceparent is another span of the same trace, or of a new one.
func serverTraceparent(parent string) string {
	trace := randomHex(16)
	if parts := strings.Split(parent, "-"); len(parts) == 4 {
		trace = parts[1]
	}
	return fmt.Sprintf("00-%s-%s-01", trace, randomHex(8))
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
