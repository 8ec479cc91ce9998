package apptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// Frame is any frame of the server over WebSocket. Fields that a frame does not have are zero.
type Frame struct {
	Type         string  `json:"type"`
	ClientID     string  `json:"client_id"`
	Text         string  `json:"text"`
	RoomID       string  `json:"room_id"`
	Timestamp    int64   `json:"timestamp"`
	Seq          int64   `json:"seq"`
	ID           string  `json:"id"`
	TraceParent  string  `json:"traceparent"`
	TraceState   string  `json:"tracestate"`
	Ref          string  `json:"ref"`
	Participants int     `json:"participant_count"`
	Messages     []Frame `json:"messages"`
	Truncated    bool    `json:"truncated"`
	Epoch        string  `json:"epoch"`
	Reset        bool    `json:"reset"`
	More         bool    `json:"more"`
	Code         string  `json:"code"`
	Detail       string  `json:"detail"`

	Raw string `json:"-"` // the frame as it was received
}

// Dial is how a client connects. Room and Client are required.
type Dial struct {
	Room, Client string
	Query        url.Values
	Header       http.Header
	ReadBuffer   int // size of the socket's read buffer in bytes; the system's default if 0
}

// Socket opens a WebSocket connection, which the caller must close. It may be called from any goroutine.
func (p *Program) Socket(d Dial) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && d.ReadBuffer > 0 {
			err = conn.(*net.TCPConn).SetReadBuffer(d.ReadBuffer)
		}
		return conn, err
	}}
	u := "ws://" + p.Addr + "/ws/" + d.Room + "/" + d.Client
	if len(d.Query) > 0 {
		u += "?" + d.Query.Encode()
	}
	conn, res, err := dialer.DialContext(ctx, u, d.Header)
	if res != nil {
		_ = res.Body.Close() // the dialer has read the first bytes; the rest is not available
	}
	return conn, res, err
}

// Client is a WebSocket client that reads all the time and keeps all frames. Its methods may be called from any goroutine, those
// with a testing.TB only from the test's.
//
// mu guards the fields below it. changed is closed and replaced when they change.
type Client struct {
	Dial
	conn    *websocket.Conn
	writing sync.Mutex
	joined  chan struct{} // receives an element for each answer to a knock
	ended   chan struct{} // closed when reading has ended

	mu      sync.Mutex
	frames  []Frame
	epoch   string
	next    int // index of the frame that Next returns next
	err     error
	changed chan struct{}
}

// Open connects a client.
func (p *Program) Open(d Dial) (*Client, error) {
	conn, _, err := p.Socket(d)
	if err != nil {
		return nil, err
	}
	c := &Client{Dial: d, conn: conn, joined: make(chan struct{}, 1), ended: make(chan struct{}), changed: make(chan struct{})}
	go c.read()
	return c, nil
}

// Join connects a client and closes it at the end of the test.
func (p *Program) Join(t testing.TB, room, client string) *Client {
	t.Helper()
	return p.Connect(t, Dial{Room: room, Client: client})
}

// Resume is Join with since, the sequence number of the last message that the client has.
func (p *Program) Resume(t testing.TB, room, client string, since int64) *Client {
	t.Helper()
	return p.Connect(t, Dial{Room: room, Client: client, Query: url.Values{"since": {fmt.Sprint(since)}}})
}

// Connect connects a client, waits until it has joined its room or was closed, and closes it at the end of the test.
func (p *Program) Connect(t testing.TB, d Dial) *Client {
	t.Helper()
	c, err := p.Open(d)
	require.NoError(t, err)
	t.Cleanup(c.Drop)
	require.NoError(t, c.Joined())
	return c
}

// knock is the type and ref of an invalid frame. The server answers it with an error after the client has joined the room. The
// answer is not kept.
const knock = "knock"

// Joined waits until the client has joined the room or the server has closed it.
func (c *Client) Joined() error {
	_ = c.Write(Message{Type: knock, Ref: knock}) // fails when the server has closed it, which shows below
	select {
	case <-c.joined:
	case <-c.ended:
	case <-time.After(Patience):
		return fmt.Errorf("%s has not joined %s in time", c.Client, c.Room)
	}
	return nil
}

func (c *Client) read() {
	defer close(c.ended)
	for {
		_, p, err := c.conn.ReadMessage()
		f := Frame{Raw: string(p)}
		if err == nil {
			if err = json.Unmarshal(p, &f); err != nil {
				err = fmt.Errorf("not JSON: %w: %s", err, p)
			}
		}
		if f.Type == "error" && f.Ref == knock {
			c.joined <- struct{}{}
			continue
		}
		c.mu.Lock()
		if f.Type == "history" {
			c.epoch = f.Epoch
		}
		if f.Type == "history" && len(f.Messages) == 0 && !f.Reset {
			// It has only the epoch.
		} else if err == nil {
			c.frames = append(c.frames, f)
		} else {
			c.err = err
		}
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Write sends v as JSON, or unchanged if it is a string.
func (c *Client) Write(v any) error {
	p, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		p = string(b)
	}
	return c.WriteFrame(websocket.TextMessage, []byte(p))
}

// WriteFrame sends a frame of the given type.
func (c *Client) WriteFrame(kind int, p []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	return c.conn.WriteMessage(kind, p)
}

// Message is a message frame as clients send it.
type Message struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Ref         string `json:"ref,omitempty"`
	TraceParent string `json:"traceparent,omitempty"`
	TraceState  string `json:"tracestate,omitempty"`
}

// Say sends a message.
func (c *Client) Say(t testing.TB, text string) {
	t.Helper()
	c.Send(t, Message{Type: "message", Text: text})
}

// Send is Write; an error fails the test.
func (c *Client) Send(t testing.TB, v any) {
	t.Helper()
	require.NoError(t, c.Write(v))
}

// Frames returns all frames so far.
func (c *Client) Frames() []Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames[:len(c.frames):len(c.frames)]
}

// Err returns why reading ended, or nil while the client reads.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Wait waits until cond is true of all frames so far. It fails when the connection has ended or Patience is over.
func (c *Client) Wait(cond func(frames []Frame) bool) error {
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		frames, err, changed := c.frames[:len(c.frames):len(c.frames)], c.err, c.changed
		c.mu.Unlock()
		if cond(frames) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s in %s, after %d frames: %w", c.Client, c.Room, len(frames), err)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("%s in %s has waited in vain, after %d frames", c.Client, c.Room, len(frames))
		}
	}
}

// Next waits for the next frame and returns it.
func (c *Client) Next(t testing.TB) Frame {
	t.Helper()
	require.NoError(t, c.Wait(func(frames []Frame) bool { return len(frames) > c.next }))
	f := c.Frames()[c.next]
	c.next++
	return f
}

// Until calls Next until want is true of a frame. It returns that frame and those before it.
func (c *Client) Until(t testing.TB, want func(Frame) bool) (before []Frame, found Frame) {
	t.Helper()
	for {
		f := c.Next(t)
		if want(f) {
			return before, f
		}
		before = append(before, f)
	}
}

// UntilText is Until for a message with the given text.
func (c *Client) UntilText(t testing.TB, text string) (before []Frame, found Frame) {
	t.Helper()
	return c.Until(t, func(f Frame) bool { return f.Type == "message" && f.Text == text })
}

// UntilType is Until for a frame of the given type.
func (c *Client) UntilType(t testing.TB, kind string) (before []Frame, found Frame) {
	t.Helper()
	return c.Until(t, func(f Frame) bool { return f.Type == kind })
}

// Closed waits until the connection has ended and returns the close code that the server sent, or 1006 if it sent none.
func (c *Client) Closed(t testing.TB) (code int, reason string) {
	t.Helper()
	select {
	case <-c.ended:
	case <-time.After(Patience):
		t.Fatal("the connection does not end")
	}
	var closed *websocket.CloseError
	if errors.As(c.Err(), &closed) {
		return closed.Code, closed.Text
	}
	return websocket.CloseAbnormalClosure, c.Err().Error()
}

// NetConn returns the TCP connection.
func (c *Client) NetConn() net.Conn { return c.conn.NetConn() }

// Leave closes the connection with a close frame and waits until the server has closed it too.
func (c *Client) Leave(t testing.TB) {
	t.Helper()
	require.NoError(t, c.WriteFrame(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	select {
	case <-c.ended:
	case <-time.After(Patience):
		t.Fatal("the server does not answer the close frame")
	}
	c.Drop()
}

// Drop closes the TCP connection without a close frame.
func (c *Client) Drop() {
	_ = c.conn.Close()
	<-c.ended
}

// Epoch returns the epoch in the newest history.
func (c *Client) Epoch() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// Messages returns all messages so far, including those of histories, in the order of their arrival.
func (c *Client) Messages() []Frame { return Messages(c.Frames()) }

// Messages returns the messages among frames, including those of histories.
func Messages(frames []Frame) []Frame {
	var found []Frame
	for _, f := range frames {
		switch f.Type {
		case "message":
			found = append(found, f)
		case "history":
			found = append(found, f.Messages...)
		}
	}
	return found
}
