package engineio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// host is a server under test that echoes messages, and what it saw.
type host struct {
	t      testing.TB
	eio    *engineio.Server
	http   *httptest.Server
	dialer websocket.Dialer

	mu       sync.Mutex
	sessions []*engineio.Session
	ended    chan end
	got      chan string
	block    chan struct{} // if set, Message waits for it
	blocked  chan struct{} // told when Message waits
}

type end struct {
	id     string
	reason engineio.Reason
	err    error
}

// echo is the host's Handler of one session.
type echo struct {
	h *host
	s *engineio.Session
}

func (e echo) Message(_ context.Context, data []byte, binary bool) {
	if e.h.block != nil {
		select {
		case e.h.blocked <- struct{}{}:
		default:
		}
		<-e.h.block
	}
	select {
	case e.h.got <- string(data):
	default:
	}
	if binary {
		e.s.SendBinary(data)
	} else {
		e.s.Send(data)
	}
}

func (e echo) Close(_ context.Context, reason engineio.Reason, err error) {
	e.h.ended <- end{e.s.ID(), reason, err}
}

// calm are options under which no heartbeat comes between.
func calm() engineio.Options {
	return engineio.Options{PingInterval: time.Hour, PingTimeout: time.Minute}
}

func serve(t testing.TB, opts engineio.Options, also ...func(*engineio.Session)) *host {
	t.Helper()
	h := newHost(t, opts, also...)
	h.http = httptest.NewServer(h.eio)
	t.Cleanup(h.stop)
	return h
}

// newHost is a host that does not listen yet.
func newHost(t testing.TB, opts engineio.Options, also ...func(*engineio.Session)) *host {
	h := &host{t: t, dialer: *websocket.DefaultDialer, ended: make(chan end, 10_000), got: make(chan string, 1000), blocked: make(chan struct{}, 1)}
	h.eio = engineio.NewServer(opts, func(s *engineio.Session) engineio.Handler {
		h.mu.Lock()
		h.sessions = append(h.sessions, s)
		h.mu.Unlock()
		for _, f := range also {
			f(s)
		}
		return echo{h, s}
	})
	return h
}

func (h *host) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = h.eio.Close(ctx)
	http.DefaultClient.CloseIdleConnections()
	h.http.Client().CloseIdleConnections()
	h.http.Close()
}

// session waits for the session that was opened as the i-th.
func (h *host) session(i int) (session *engineio.Session) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		if i < len(h.sessions) {
			session = h.sessions[i]
		}
		return session != nil
	}, patience, time.Millisecond)
	return session
}

// byID waits for a session: a WebSocket client hears of it before the owner does.
func (h *host) byID(id string) (session *engineio.Session) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		at := slices.IndexFunc(h.sessions, func(s *engineio.Session) bool { return s.ID() == id })
		if at >= 0 {
			session = h.sessions[at]
		}
		return at >= 0
	}, patience, time.Millisecond)
	return session
}

func (h *host) url(query string) string { return h.http.URL + "/engine.io/?" + query }

// reply is an answer to a request.
type reply struct {
	status int
	body   string
	header http.Header
}

func (h *host) do(method, query, body string) reply {
	h.t.Helper()
	r, err := h.try(context.Background(), method, query, body)
	require.NoError(h.t, err)
	return r
}

func (h *host) try(ctx context.Context, method, query, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, h.url(query), strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	resp, err := h.http.Client().Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(b), resp.Header}, err
}

// client is a polling client.
type client struct {
	*host
	sid string
}

func (h *host) poll() client {
	h.t.Helper()
	r := h.do("GET", "EIO=4&transport=polling", "")
	require.Equal(h.t, 200, r.status)
	require.Equal(h.t, "0", r.body[:1])
	var open struct{ SID string }
	require.NoError(h.t, json.Unmarshal([]byte(r.body[1:]), &open))
	return client{h, open.SID}
}

func (c client) query() string { return "EIO=4&transport=polling&sid=" + c.sid }

func (c client) get() reply             { c.t.Helper(); return c.do("GET", c.query(), "") }
func (c client) post(body string) reply { c.t.Helper(); return c.do("POST", c.query(), body) }

// getLater polls, and returns where the answer will come.
func (c client) getLater() <-chan reply { return c.later("GET", "") }

func (c client) later(method, body string) <-chan reply {
	ch := make(chan reply, 1)
	go func() {
		r, err := c.try(context.Background(), method, c.query(), body)
		if err != nil {
			r.body = err.Error()
		}
		ch <- r
	}()
	return ch
}

func (h *host) wait(ch <-chan reply) reply {
	h.t.Helper()
	select {
	case r := <-ch:
		return r
	case <-time.After(patience):
		require.FailNow(h.t, "no answer")
		return reply{}
	}
}

// socket is a WebSocket client.
type socket struct {
	t  testing.TB
	ws *websocket.Conn
}

func (h *host) dial(query string) socket {
	h.t.Helper()
	ws, resp, err := h.dialer.Dial("ws"+strings.TrimPrefix(h.url(query), "http"), nil)
	require.NoError(h.t, err)
	resp.Body.Close()
	h.t.Cleanup(func() { ws.Close() })
	return socket{h.t, ws}
}

// open dials a session of WebSocket only, and returns its id too.
func (h *host) open() (socket, string) {
	h.t.Helper()
	s := h.dial("EIO=4&transport=websocket")
	first := s.read()
	require.Equal(h.t, "0", first[:1])
	var open struct{ SID string }
	require.NoError(h.t, json.Unmarshal([]byte(first[1:]), &open))
	return s, open.SID
}

func (s socket) read() string {
	s.t.Helper()
	require.NoError(s.t, s.ws.SetReadDeadline(time.Now().Add(patience)))
	_, b, err := s.ws.ReadMessage()
	require.NoError(s.t, err)
	return string(b)
}

func (s socket) write(text string) {
	s.t.Helper()
	require.NoError(s.t, s.ws.WriteMessage(websocket.TextMessage, []byte(text)))
}

// closed reads until the server closes, and returns the close code.
func (s socket) closed() int {
	s.t.Helper()
	require.NoError(s.t, s.ws.SetReadDeadline(time.Now().Add(patience)))
	for {
		_, _, err := s.ws.ReadMessage()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		require.ErrorAs(s.t, err, &ce)
		return ce.Code
	}
}

// end waits for a session to end.
func (h *host) end() end {
	h.t.Helper()
	select {
	case e := <-h.ended:
		return e
	case <-time.After(patience):
		require.FailNow(h.t, "no session ended")
		return end{}
	}
}

// upgraded returns a client's WebSocket after a complete upgrade.
func (c client) upgraded() socket {
	c.t.Helper()
	s := c.probed()
	s.write("5")
	return s
}

func (c client) probed() socket {
	c.t.Helper()
	s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
	s.write("2probe")
	require.Equal(c.t, "3probe", s.read())
	return s
}

func refusal(code int, message string) string {
	return fmt.Sprintf("{\"code\":%d,\"message\":%q}\n", code, message)
}
