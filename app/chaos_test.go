package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// The load: clients of both kinds in rooms, spread over the nodes. Some of them send.
const (
	chaosRooms   = 10
	chaosSockets = 20 // WebSocket clients in each room, of which
	chaosSenders = 6  // send
	chaosSIO     = 10 // Socket.IO clients in each room
	// chaosPace is the pause of a sender between messages, chosen so that the machine is busy but not overloaded.
	chaosPace = 250 * time.Millisecond
)

// heard is a message as a client received it.
type heard struct {
	seq  int64 // 0 if not known
	id   string
	text string
}

// chaos is a cluster under load.
type chaos struct {
	*cluster
	alive [3]atomic.Bool
	stop  chan struct{} // closed to end the senders
	end   chan struct{} // closed to end all clients

	open     atomic.Int64 // messages that wait for an answer
	acked    atomic.Int64 // messages that their senders received
	refused  atomic.Int64 // error frames
	resumed  atomic.Int64 // connections after the first
	failures chan error
}

// node returns a node that is alive, other than the one last tried if possible.
func (c *chaos) node(not int) (int, *apptest.Program) {
	for {
		n := rand.IntN(len(c.nodes))
		if c.alive[n].Load() && (n != not || rand.IntN(4) == 0) {
			return n, c.nodes[n]
		}
		if c.ended() {
			return n, c.nodes[n]
		}
	}
}

func (c *chaos) ended() bool {
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

func (c *chaos) fail(format string, args ...any) {
	select {
	case c.failures <- fmt.Errorf(format, args...):
	default:
	}
}

// pause waits between two attempts, unless the test ends.
func (c *chaos) pause(d time.Duration) {
	select {
	case <-c.end:
	case <-time.After(d):
	}
}

// participant is one client with all its connections. Its goroutines own its state; mu guards what others read.
type participant struct {
	chaos      *chaos
	room, name string
	sends      bool

	mu    sync.Mutex
	shown []heard
	ids   map[string]bool
	at    int // the node that it is connected to; -1 if none

	said      map[string]bool // by text; false if refused
	uncertain map[string]bool // by text: refused with "not known"
}

func (p *participant) last() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.shown))
}

// show records a message. Numbers must increase by one, across connections.
func (p *participant) show(h heard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids[h.id] {
		p.chaos.fail("%s in %s is shown %s twice", p.name, p.room, h.text)
		return
	}
	p.ids[h.id] = true
	p.shown = append(p.shown, h)
	if h.seq != 0 && h.seq != int64(len(p.shown)) {
		p.chaos.fail("%s in %s is shown %d behind %d", p.name, p.room, h.seq, len(p.shown)-1)
	}
	if p.sends && strings.HasPrefix(h.text, p.name+"-") {
		if said, sent := p.said[h.text]; sent && !said && !p.uncertain[h.text] {
			p.chaos.fail("%s was refused %s, and it was stored", p.name, h.text)
		}
		p.said[h.text] = true
		p.chaos.acked.Add(1)
	}
}

func (p *participant) moved(to int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = to
}

// follow reconnects the client until the end, as a browser does.
func (p *participant) follow(first int, connection func(node *apptest.Program) error) {
	n := first
	for times := 0; !p.chaos.ended(); times++ {
		if times > 0 {
			p.chaos.resumed.Add(1)
			p.chaos.pause(time.Duration(50+rand.IntN(200)) * time.Millisecond)
			n, _ = p.chaos.node(n)
		}
		p.moved(n)
		err := connection(p.chaos.nodes[n])
		p.moved(-1)
		if err != nil {
			p.chaos.fail("%s in %s: %w", p.name, p.room, err)
		}
	}
}

// overWebSocket is one connection.
func (p *participant) overWebSocket(node *apptest.Program) error {
	conn, res, err := node.Socket(apptest.Dial{Room: p.room, Client: p.name, Query: url.Values{"since": {fmt.Sprint(p.last())}}})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("refused with %s", res.Status)
		}
		return nil // the node is down
	}
	over := make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() {
		select {
		case <-p.chaos.end:
			_ = conn.Close()
		case <-over:
		}
	})
	echo := make(chan string, 256)
	if p.sends {
		parts.Go(func() { p.send(over, echo, func(v any) error { return conn.WriteJSON(v) }) })
	}
	defer func() {
		close(over)
		_ = conn.Close()
		parts.Wait()
	}()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code == 4001 {
				return fmt.Errorf("the room was deleted: %w", err)
			}
			return nil
		}
		var f apptest.Frame
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		if f.Truncated {
			return errors.New("more was missed than a history holds")
		}
		if f.Type == "error" && f.Ref != "" {
			p.mu.Lock()
			if !p.said[f.Ref] {
				p.said[f.Ref] = false
				p.uncertain[f.Ref] = strings.Contains(f.Detail, "not known")
			}
			p.mu.Unlock()
			if f.Code != "unavailable" {
				return fmt.Errorf("refused %s: %s", f.Ref, data)
			}
			p.chaos.refused.Add(1)
			echo <- f.Ref
		}
		for _, m := range apptest.Messages([]apptest.Frame{f}) {
			p.show(heard{m.Seq, m.ID, m.Text})
			if strings.HasPrefix(m.Text, p.name+"-") {
				select {
				case echo <- m.Text:
				default:
				}
			}
		}
	}
}

// send sends messages, each after the one before was answered, until the connection ends.
func (p *participant) send(over <-chan struct{}, echo <-chan string, write func(any) error) {
	for {
		select {
		case <-over:
			return
		case <-p.chaos.stop:
			return
		case <-time.After(chaosPace):
		}
		p.mu.Lock()
		text := fmt.Sprintf("%s-%d", p.name, len(p.said))
		p.said[text] = false
		p.uncertain[text] = true // until it is answered
		p.mu.Unlock()
		if !p.sendOne(text, over, echo, write) {
			return
		}
	}
}

// sendOne reports whether text was answered, with the message or with an error.
func (p *participant) sendOne(text string, over <-chan struct{}, echo <-chan string, write func(any) error) bool {
	p.chaos.open.Add(1)
	defer p.chaos.open.Add(-1)
	if write(apptest.Message{Type: "message", Text: text, Ref: text}) != nil {
		return false
	}
	for {
		select {
		case <-over:
			return false
		case said := <-echo:
			if said == text {
				return true
			}
		}
	}
}

// overSocketIO is one connection: the client joins, reads the messages that it missed, and then those that came meanwhile.
func (p *participant) overSocketIO(node *apptest.Program) error {
	c, err := node.SocketIO()
	if err != nil {
		return nil
	}
	over := make(chan struct{})
	var parts sync.WaitGroup
	parts.Go(func() {
		select {
		case <-p.chaos.end:
			c.Close()
		case <-over:
		}
	})
	defer func() {
		close(over)
		c.Close()
		parts.Wait()
	}()
	if c.Emit("join", map[string]string{"client_id": p.name, "room_id": p.room}) != nil {
		return nil
	}
	var joined bool
	for {
		name, data, err := c.Next()
		if err != nil {
			return nil
		}
		switch name {
		case "error":
			return nil // the store is down: try another node
		case "joined":
			joined = true
			if !p.missed(node) {
				return nil
			}
		case "new_message":
			if !joined {
				continue // missed returns it
			}
			var m struct {
				ID   string `json:"id"`
				Text string `json:"message_text"`
			}
			if err := json.Unmarshal(data, &m); err != nil {
				return err
			}
			p.mu.Lock()
			known := p.ids[m.ID]
			p.mu.Unlock()
			if !known {
				p.show(heard{0, m.ID, m.Text})
			}
		}
	}
}

// missed reads the messages after the last one that p has received.
func (p *participant) missed(node *apptest.Program) bool {
	for {
		res, err := apptest.Do(http.MethodGet, fmt.Sprintf("%s/rooms/%s/messages?limit=1000&since=%d", node.URL, p.room, p.last()), nil)
		if err != nil || p.chaos.ended() {
			return false
		}
		var page struct{ Messages []apptest.Frame }
		if res.Status != http.StatusOK || json.Unmarshal([]byte(res.Body), &page) != nil {
			p.chaos.pause(100 * time.Millisecond)
			continue
		}
		if len(page.Messages) == 0 {
			return true
		}
		for _, m := range page.Messages {
			p.show(heard{m.Seq, m.ID, m.Text})
		}
	}
}

// more waits until n more messages have been acknowledged.
func (c *chaos) more(t *testing.T, n int64) {
	t.Helper()
	want := c.acked.Load() + n
	c.until(t, fmt.Sprintf("%d more messages are acknowledged", n), func() bool { return c.acked.Load() >= want })
}

// until is apptest.Eventually that also fails the test when a client has received something wrong.
func (c *chaos) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * apptest.Patience); !cond(); {
		select {
		case err := <-c.failures:
			require.NoError(t, err)
		case <-time.After(10 * time.Millisecond):
		}
		require.Truef(t, time.Now().Before(deadline), "waiting in vain until %s", what)
	}
}

func TestNodesMayComeAndGoAndDie(t *testing.T) {
	c := &chaos{cluster: startCluster(t, 3), stop: make(chan struct{}), end: make(chan struct{}), failures: make(chan error, 10)}
	for i := range c.alive {
		c.alive[i].Store(true)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.tell(t)
		}
	})
	var crowd []*participant
	var following sync.WaitGroup
	defer following.Wait()
	var over sync.Once
	defer over.Do(func() { close(c.end) })
	for i := range chaosRooms {
		for k := range chaosSockets + chaosSIO {
			p := &participant{chaos: c, room: fmt.Sprint("room", i), name: fmt.Sprintf("c%d.%d", i, k), sends: k < chaosSenders,
				ids: map[string]bool{}, said: map[string]bool{}, uncertain: map[string]bool{}}
			crowd = append(crowd, p)
			connection := p.overWebSocket
			if k >= chaosSockets {
				connection = p.overSocketIO
			}
			following.Go(func() { p.follow((i+k)%3, connection) })
		}
	}
	// Two clients watch from the first nodes; one client is only on the last.
	watchers := []*apptest.Client{c.nodes[0].Join(t, "watched", "w0"), c.nodes[1].Join(t, "watched", "w1")}
	ghost, err := c.nodes[2].Open(apptest.Dial{Room: "watched", Client: "ghost"})
	require.NoError(t, err)
	defer ghost.Drop()
	for _, w := range watchers {
		w.Until(t, func(f apptest.Frame) bool { return f.Type == "user_joined" && f.ClientID == "ghost" })
	}
	c.more(t, 200)

	phase := func(name string, f func()) {
		began, resumed, refused := time.Now(), c.resumed.Load(), c.refused.Load()
		f()
		t.Logf("%s: %v, %d acknowledged in all, %d refused, %d connections resumed",
			name, time.Since(began).Round(time.Second/10), c.acked.Load(), c.refused.Load()-refused, c.resumed.Load()-resumed)
	}
	gone := func(client string) bool {
		for _, w := range watchers {
			n := 0
			for _, f := range w.Frames() {
				if f.Type == "user_left" && f.ClientID == client {
					n++
				}
			}
			require.LessOrEqual(t, n, 1, "%s leaves once", client)
			if n == 0 {
				return false
			}
		}
		return true
	}

	phase("a node is killed", func() {
		c.alive[2].Store(false)
		c.nodes[2].Kill(t)
		killed := time.Now()
		c.more(t, 100)
		c.until(t, "the dead node's client has left", func() bool { return gone("ghost") })
		require.Less(t, time.Since(killed), 15*time.Second)
		require.Equal(t, 2, participants(t, c.nodes[0], "watched"))
		c.nodes[2].Restart(t)
		c.alive[2].Store(true)
	})
	phase("NATS is restarted", func() {
		c.nats.Stop()
		c.more(t, 200)
		c.nats.Run()
		c.more(t, 100)
	})
	phase("PostgreSQL is restarted", func() {
		c.pg.Stop()
		before := c.refused.Load()
		c.until(t, "senders are told that nothing can be sent", func() bool { return c.refused.Load() >= before+300 })
		began := time.Now()
		res := c.nodes[0].PostJSON(t, "/messages", map[string]string{"message_text": "x", "user_id": "u", "chatroom_id": "room0"})
		require.Equal(t, http.StatusServiceUnavailable, res.Status, res.Body)
		require.Less(t, time.Since(began), 15*time.Second)
		c.pg.Run()
		c.more(t, 200)
		c.pg.Crash()
		c.pg.Run()
		c.more(t, 200)
	})
	phase("a node is paused for 20 s", func() {
		paused, err := c.nodes[1].Open(apptest.Dial{Room: "watched", Client: "paused"})
		require.NoError(t, err)
		defer paused.Drop()
		watchers[0].Until(t, func(f apptest.Frame) bool { return f.Type == "user_joined" && f.ClientID == "paused" })
		c.nodes[1].Signal(t, syscall.SIGSTOP)
		c.alive[1].Store(false)
		wake := time.NewTimer(20 * time.Second)
		c.more(t, 200)
		watchers[0].Until(t, func(f apptest.Frame) bool { return f.Type == "user_left" && f.ClientID == "paused" })
		<-wake.C
		c.nodes[1].Signal(t, syscall.SIGCONT)
		c.alive[1].Store(true)
		// Counted is what it must be. That others are told is a hint, which a connection to NATS that nobody has read from or
		// written to for so long may lose.
		c.until(t, "the paused node's clients are there again", func() bool { return participants(t, c.nodes[0], "watched") == 3 })
		c.more(t, 200)
	})
	phase("a node is cut off from NATS", func() {
		is := func() (connected, times float64) {
			m := c.nodes[0].Metrics(t)
			return m["traceroom_relay_connected"], m["traceroom_relay_reconnects_total"]
		}
		_, before := is()
		c.ways[0].Cut()
		c.more(t, 200)
		c.until(t, "it has noticed", func() bool { connected, _ := is(); return connected == 0 })
		read := c.nodes[0].Metrics(t)
		c.more(t, 200)
		c.until(t, "it reads from the store what it is not told", func() bool {
			m := c.nodes[0].Metrics(t)
			return m["traceroom_relay_catch_up_reads_total"] > read["traceroom_relay_catch_up_reads_total"] &&
				m["traceroom_relay_caught_up_total"] > read["traceroom_relay_caught_up_total"]
		})
		c.ways[0].Heal()
		c.until(t, "it is connected again", func() bool { connected, times := is(); return connected == 1 && times > before })
		c.more(t, 100)
	})

	// Senders stop. Everyone receives what is stored by then.
	close(c.stop)
	c.until(t, "all that was sent is answered", func() bool { return c.open.Load() == 0 })
	var stored [chaosRooms][]apptest.Frame
	c.until(t, "nothing more is stored", func() bool {
		before := 0
		for i := range stored {
			before += len(stored[i])
			stored[i] = history(t, c.nodes[i%3], fmt.Sprint("room", i))
		}
		after := 0
		for i := range stored {
			after += len(stored[i])
		}
		return before == after
	})
	for _, p := range crowd {
		var i int
		_, _ = fmt.Sscanf(p.room, "room%d", &i)
		c.until(t, fmt.Sprintf("%s in %s has all", p.name, p.room), func() bool { return p.last() >= int64(len(stored[i])) })
	}
	for i := range chaosRooms {
		id := fmt.Sprint("room", i)
		for _, node := range c.nodes {
			c.until(t, "all who are there are counted", func() bool { return participants(t, node, id) == chaosSockets+chaosSIO })
			require.Len(t, history(t, node, id), len(stored[i]))
		}
	}
	over.Do(func() { close(c.end) })
	following.Wait()
	select {
	case err := <-c.failures:
		require.NoError(t, err)
	default:
	}

	said, total := map[string]bool{}, 0
	for _, p := range crowd {
		var i int
		_, _ = fmt.Sscanf(p.room, "room%d", &i)
		require.Len(t, p.shown, len(stored[i]), "%s in %s", p.name, p.room)
		for k, m := range stored[i] {
			require.Equal(t, m.ID, p.shown[k].id, "%s in %s, message %d", p.name, p.room, k+1)
			require.Equal(t, m.Text, p.shown[k].text)
		}
		for text, acknowledged := range p.said {
			if acknowledged {
				said[text] = true
			}
		}
	}
	for i := range stored {
		for k, m := range stored[i] {
			require.EqualValues(t, k+1, m.Seq)
			require.True(t, said[m.Text], "%s is stored and was not acknowledged", m.Text)
			total++
		}
	}
	require.Len(t, said, total, "acknowledged = stored")
	require.EqualValues(t, total, c.acked.Load())
	t.Logf("%d messages, %d deliveries", total, total*(chaosSockets+chaosSIO))
}

// tell logs how each node sees the others, to explain a failure.
func (c *chaos) tell(t *testing.T) {
	for i, node := range c.nodes {
		res, err := apptest.Do(http.MethodGet, node.URL+"/rooms/watched", nil)
		if err != nil {
			t.Logf("node %d: %v", i, err)
			continue
		}
		t.Logf("node %d: %s", i, res.Body)
		for name, value := range node.Metrics(t) {
			if strings.Contains(name, "_relay_") && !strings.Contains(name, "_bucket") || strings.Contains(name, "store_errors") {
				t.Logf("node %d: %s %v", i, name, value)
			}
		}
	}
}

// history returns all messages of a room.
func history(t *testing.T, p *apptest.Program, room string) (all []apptest.Frame) {
	t.Helper()
	for {
		var page struct{ Messages []apptest.Frame }
		p.Get(t, fmt.Sprintf("/rooms/%s/messages?limit=1000&since=%d", room, len(all))).JSON(t, &page)
		if len(page.Messages) == 0 {
			return all
		}
		all = append(all, page.Messages...)
	}
}
