package apptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// SocketIO is a minimal Socket.IO client (Engine.IO protocol 4, Socket.IO protocol 5) over WebSocket. Its methods may be called
// from any goroutine, but Next by only one at a time.
type SocketIO struct {
	conn    *websocket.Conn
	writing sync.Mutex
}

// SocketIO connects a client. The caller must close it.
func (p *Program) SocketIO() (*SocketIO, error) {
	dialer := websocket.Dialer{HandshakeTimeout: Patience}
	conn, res, err := dialer.Dial("ws://"+p.Addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if res != nil {
		_ = res.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	c := &SocketIO{conn: conn}
	if err := c.connect(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// connect waits for the handshake and connects to the namespace /.
func (c *SocketIO) connect() error {
	for _, want := range []string{`0{`, `40`} {
		_, p, err := c.conn.ReadMessage()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(p, []byte(want)) {
			return fmt.Errorf("got %s, not %s", p, want)
		}
		if want[0] == '0' {
			if err := c.write("40"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *SocketIO) write(s string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	return c.conn.WriteMessage(websocket.TextMessage, []byte(s))
}

// Emit sends an event with one argument.
func (c *SocketIO) Emit(name string, data any) error {
	p, err := json.Marshal([]any{name, data})
	if err != nil {
		return err
	}
	return c.write("42" + string(p))
}

// Next waits for the next event and returns it with its first argument. It answers pings. It has no timeout.
func (c *SocketIO) Next() (name string, data json.RawMessage, err error) {
	for {
		_, p, err := c.conn.ReadMessage()
		if err != nil {
			return "", nil, err
		}
		if string(p) == "2" {
			if err := c.write("3"); err != nil {
				return "", nil, err
			}
			continue
		}
		if !bytes.HasPrefix(p, []byte("42[")) {
			continue
		}
		var parts []json.RawMessage
		if err := json.Unmarshal(p[2:], &parts); err != nil {
			return "", nil, err
		}
		if err := json.Unmarshal(parts[0], &name); err != nil {
			return "", nil, err
		}
		if len(parts) > 1 {
			data = parts[1]
		}
		return name, data, nil
	}
}

// Close closes the TCP connection.
func (c *SocketIO) Close() { _ = c.conn.Close() }
