package engineio_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestTheOpenPacketTellsTheSettings(t *testing.T) {
	h := serve(t, engineio.Options{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, MaxPayload: 12345})
	for transport, upgrades := range map[string]string{"polling": `["websocket"]`, "websocket": `[]`} {
		var text string
		if transport == "polling" {
			r := h.do("GET", "EIO=4&transport=polling", "")
			require.Equal(t, "text/plain; charset=UTF-8", r.header.Get("Content-Type"))
			require.Equal(t, "no-store", r.header.Get("Cache-Control"))
			text = r.body
		} else {
			text = h.dial("EIO=4&transport=websocket").read()
		}
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text[1:]), &fields))
		require.Len(t, fields, 5)
		require.Equal(t, upgrades, string(fields["upgrades"]), transport)
		require.Equal(t, "300", string(fields["pingInterval"]))
		require.Equal(t, "200", string(fields["pingTimeout"]))
		require.Equal(t, "12345", string(fields["maxPayload"]))
		require.Len(t, fields["sid"], 22)
	}
}

func TestBadRequestsAreAnsweredAsTheReferenceServerDoes(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s, wsID := h.open()
	defer s.ws.Close()
	for _, tc := range []struct {
		name, method, query string
		want                reply
	}{
		{"no transport", "GET", "EIO=4", reply{status: 400, body: refusal(0, "Transport unknown")}},
		{"unknown transport", "GET", "EIO=4&transport=abc", reply{status: 400, body: refusal(0, "Transport unknown")}},
		{"prototype as transport", "GET", "EIO=4&transport=constructor", reply{status: 400, body: refusal(0, "Transport unknown")}},
		{"unknown sid", "GET", "EIO=4&transport=polling&sid=abc", reply{status: 400, body: refusal(1, "Session ID unknown")}},
		{"unknown sid in a POST", "POST", "EIO=4&transport=polling&sid=abc", reply{status: 400, body: refusal(1, "Session ID unknown")}},
		{"handshake by POST", "POST", "EIO=4&transport=polling", reply{status: 400, body: refusal(2, "Bad handshake method")}},
		{"handshake by PUT", "PUT", "EIO=4&transport=polling", reply{status: 400, body: refusal(2, "Bad handshake method")}},
		{"preflight", "OPTIONS", "EIO=4&transport=polling", reply{status: 400, body: refusal(2, "Bad handshake method")}},
		{"websocket without an upgrade", "GET", "EIO=4&transport=websocket", reply{status: 400, body: refusal(3, "Bad request")}},
		{"session's transport is another", "GET", "EIO=4&transport=websocket&sid=" + c.sid, reply{status: 400, body: refusal(3, "Bad request")}},
		{"polling a websocket session", "GET", "EIO=4&transport=polling&sid=" + wsID, reply{status: 400, body: refusal(3, "Bad request")}},
		{"posting to a websocket session", "POST", "EIO=4&transport=polling&sid=" + wsID, reply{status: 400, body: refusal(3, "Bad request")}},
		{"odd method on a session", "DELETE", c.query(), reply{status: 400, body: refusal(3, "Bad request")}},
		{"no version", "GET", "transport=polling", reply{status: 400, body: refusal(5, "Unsupported protocol version")}},
		{"old version", "GET", "EIO=3&transport=polling", reply{status: 400, body: refusal(5, "Unsupported protocol version")}},
		{"odd version", "GET", "EIO=abc&transport=polling", reply{status: 400, body: refusal(5, "Unsupported protocol version")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := h.do(tc.method, tc.query, "")
			require.Equal(t, tc.want.status, got.status)
			require.JSONEq(t, tc.want.body, got.body)
			require.Equal(t, "application/json", got.header.Get("Content-Type"))
		})
	}
	require.Equal(t, 2, h.eio.Len(), "a bad request made or ended a session")
	require.Equal(t, "ok", c.post("4still here").body)
	s.write("4still here")
	require.Equal(t, "4still here", s.read())
}

func TestAWebSocketHandshakeThatIsRefused(t *testing.T) {
	h := serve(t, calm())
	for query, want := range map[string]string{
		"transport=websocket":               refusal(5, "Unsupported protocol version"),
		"EIO=3&transport=websocket":         refusal(5, "Unsupported protocol version"),
		"EIO=4":                             refusal(0, "Transport unknown"),
		"EIO=4&transport=polling":           refusal(3, "Bad request"),
		"EIO=4&transport=websocket&sid=abc": refusal(1, "Session ID unknown"),
	} {
		_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url(query), "http"), nil)
		require.ErrorIs(t, err, websocket.ErrBadHandshake, query)
		require.Equal(t, 400, resp.StatusCode, query)
		b := make([]byte, 200)
		n, _ := resp.Body.Read(b)
		require.JSONEq(t, want, string(b[:n]), query)
	}
	require.Zero(t, h.eio.Len())
}

func TestAnUpgradeThatIsNoWebSocketMakesNoSession(t *testing.T) {
	h := serve(t, calm())
	req, err := http.NewRequest("GET", h.url("EIO=4&transport=websocket"), nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 400, resp.StatusCode)
	require.Zero(t, h.eio.Len())
}

func TestOnlyTheServersPath(t *testing.T) {
	opts := calm()
	opts.Path = "/chat/rt/"
	h := serve(t, opts)
	require.Equal(t, "/chat/rt", h.eio.Path())
	for path, want := range map[string]int{"/chat/rt": 200, "/chat/rt/": 200, "/engine.io/": 404, "/chat/rt/x": 404, "/": 404} {
		resp, err := http.Get(h.http.URL + path + "?EIO=4&transport=polling")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, want, resp.StatusCode, path)
	}
}

func TestBrowsersOfOtherOriginsAreRefused(t *testing.T) {
	h := serve(t, calm())
	get := func(origin string) (int, http.Header) {
		req, err := http.NewRequest("GET", h.url("EIO=4&transport=polling"), nil)
		require.NoError(t, err)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	for origin, want := range map[string]int{
		"":                          200,
		h.http.URL:                  200,
		"http://elsewhere.invalid":  403,
		"null":                      403,
		"http://elsewhere.invalid:": 403,
		":":                         403,
	} {
		status, header := get(origin)
		require.Equal(t, want, status, origin)
		require.Empty(t, header.Get("Access-Control-Allow-Origin"))
	}
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url("EIO=4&transport=websocket"), "http"),
		http.Header{"Origin": {"http://elsewhere.invalid"}})
	require.Error(t, err)
	require.Equal(t, 403, resp.StatusCode)

	opts := calm()
	opts.CheckOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") == "http://elsewhere.invalid" }
	h = serve(t, opts)
	status, _ := get("http://elsewhere.invalid")
	require.Equal(t, 200, status)
}

func TestThereAreNoMoreSessionsThanAllowed(t *testing.T) {
	opts := calm()
	places := &seats{left: 2}
	opts.Places = places
	h := serve(t, opts)
	c := h.poll()
	h.poll()
	require.Equal(t, 503, h.do("GET", "EIO=4&transport=polling", "").status)
	_, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url("EIO=4&transport=websocket"), "http"), nil)
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.Equal(t, "ok", c.post("1").body)
	h.open()
	require.Equal(t, 2, h.eio.Len())
	_, resp, err = websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url("EIO=4&transport=websocket"), "http"), nil)
	require.Error(t, err)
	require.Equal(t, 503, resp.StatusCode)
	require.NoError(t, h.eio.Close(t.Context()))
	require.Equal(t, 2, places.left, "each place is given back once")
}

// seats are some places.
type seats struct {
	mu   sync.Mutex
	left int
}

func (s *seats) Take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		return false
	}
	s.left--
	return true
}

func (s *seats) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
}

type key struct{}

func TestTheOwnersContextLastsAsLongAsTheSession(t *testing.T) {
	ctxs := make(chan context.Context, 1)
	opts := calm()
	answered := make(chan int, 1)
	opts.Open = func(r *http.Request) engineio.Opening {
		user := r.Header.Get("X-User")
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, user))
		cancel()
		return engineio.Opening{Context: ctx, ConnID: "conn of " + user, Value: user + "'s", Answered: func(status int) { answered <- status }}
	}
	h := serve(t, opts, func(s *engineio.Session) { ctxs <- s.Context() })
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url("EIO=4&transport=websocket"), "http"),
		http.Header{"X-User": {"ann"}})
	require.NoError(t, err)
	defer ws.Close()
	ctx := <-ctxs
	require.Equal(t, "ann", ctx.Value(key{}))
	require.NoError(t, ctx.Err())
	require.Equal(t, "conn of ann", h.session(0).ConnID())
	require.Equal(t, "ann's", h.session(0).Value())
	require.NotEmpty(t, h.session(0).Handshake().RemoteAddr)
	require.Equal(t, http.StatusSwitchingProtocols, <-answered)
}

func TestTheHandshakeIsKeptWithinItsBound(t *testing.T) {
	open := func(h *host, user string) (status int) {
		for _, transport := range []string{"websocket", "polling"} {
			req, err := http.NewRequest(http.MethodGet, h.url("EIO=4&room=lobby&transport="+transport), nil)
			require.NoError(t, err)
			req.Header.Set("X-User", user)
			if transport == "websocket" {
				for k, v := range map[string]string{"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
					req.Header.Set(k, v)
				}
			}
			res, err := h.http.Client().Do(req)
			require.NoError(t, err)
			res.Body.Close()
			status = res.StatusCode
		}
		return status
	}
	h := serve(t, calm())
	require.Equal(t, http.StatusOK, open(h, "ann"))
	for i := range 2 {
		kept := h.session(i).Handshake()
		require.Equal(t, "ann", kept.Header.Get("X-User"))
		require.Equal(t, "lobby", kept.Query.Get("room"))
		require.NotEmpty(t, kept.RemoteAddr)
		require.WithinDuration(t, time.Now(), kept.Time, patience)
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, open(h, strings.Repeat("x", 8<<10)))
	h.mu.Lock()
	require.Len(t, h.sessions, 2)
	h.mu.Unlock()

	opts := calm()
	opts.HandshakeBytes = -1
	h = serve(t, opts)
	require.Equal(t, http.StatusOK, open(h, strings.Repeat("x", 8<<10)))
	require.Empty(t, h.session(1).Handshake().Header)
	require.Empty(t, h.session(1).Handshake().Query)
}

func TestHooksSeeEachChangeOnce(t *testing.T) {
	seen := make(chan string, 10)
	opts := calm()
	opts.Hooks = engineio.Hooks{
		Open:    func(s *engineio.Session) { seen <- "open " + s.Transport() },
		Upgrade: func(s *engineio.Session) { seen <- "upgrade " + s.Transport() },
		Close: func(s *engineio.Session, r engineio.Reason, _ error) {
			seen <- "close " + s.Transport() + " " + string(r)
		},
	}
	h := serve(t, opts)
	c := h.poll()
	s := c.upgraded()
	s.write("4x")
	require.Equal(t, "4x", s.read())
	s.ws.Close()
	h.end()
	require.Equal(t, "open polling", <-seen)
	require.Equal(t, "upgrade websocket", <-seen)
	require.Equal(t, "close websocket transport close", <-seen)
	require.Empty(t, seen)
}
