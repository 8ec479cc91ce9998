package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/wstest"
)

// suite is a server as the protocol document's test suite asks for it: it tells who connects what it was given.
type suite struct {
	t      *testing.T
	http   *httptest.Server
	io     *socketio.Server
	dialer websocket.Dialer
}

func newSuite(t *testing.T, pingTimeout time.Duration) *suite {
	s := &suite{t: t, dialer: *websocket.DefaultDialer, io: socketio.NewServer(socketio.Options{ConnectTimeout: 5 * time.Second,
		Options: engineio.Options{PingInterval: 300 * time.Millisecond, PingTimeout: pingTimeout}})}
	told := func(err error) {
		if err != nil && !errors.Is(err, socketio.ErrDisconnected) {
			t.Error(err)
		}
	}
	for _, name := range []string{"/", "/custom"} {
		n := s.io.Of(name)
		n.Use(func(_ context.Context, s *socketio.Socket, auth json.RawMessage) error {
			s.Data = string(auth)
			return nil
		})
		n.OnConnect(func(_ context.Context, s *socketio.Socket) { told(s.Emit("auth", json.RawMessage(s.Data.(string)))) })
		n.On("message", func(_ context.Context, s *socketio.Socket, ev *socketio.Event) { told(s.Emit("message-back", ev.Args)) })
		n.On("message-with-ack", func(_ context.Context, _ *socketio.Socket, ev *socketio.Event) { told(ev.Ack(ev.Args)) })
	}
	return s
}

// bubbled is the server for a bubble of synctest.
func bubbled(t *testing.T) *suite {
	s := newSuite(t, 200*time.Millisecond)
	var p *wstest.Pipes
	s.http, p = wstest.ServeOnPipes(s.io)
	s.dialer.NetDialContext = p.Dial
	return s
}

func (s *suite) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = s.io.Close(ctx)
	s.http.Client().CloseIdleConnections()
	s.http.Close()
}

// request returns the status and the body of the answer.
func (s *suite) request(method, query, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.http.URL+"/socket.io/?EIO=4&transport=polling"+query, strings.NewReader(body))
	require.NoError(s.t, err)
	res, err := s.http.Client().Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(b)
}

// packets is a WebSocket client. Pings are answered and not shown.
type packets struct {
	t  *testing.T
	ws *websocket.Conn
}

func (s *suite) dial(query string) packets {
	s.t.Helper()
	ws, _, err := s.dialer.Dial("ws"+s.http.URL[4:]+"/socket.io/?EIO=4&transport=websocket"+query, nil)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { ws.Close() })
	return packets{s.t, ws}
}

// shaken has shaken hands for Engine.IO, and connected for Socket.IO too.
func (s *suite) shaken() packets {
	p := s.dial("")
	require.Equal(s.t, "0", p.read()[:1])
	return p
}

func (s *suite) connected() packets {
	p := s.shaken()
	p.write("40")
	require.Equal(s.t, "40{", p.read()[:3])
	require.Equal(s.t, `42["auth",{}]`, p.read())
	return p
}

func (p packets) write(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		require.NoError(p.t, p.ws.WriteMessage(websocket.TextMessage, []byte(text)))
	}
}

func (p packets) binary(b ...byte) {
	p.t.Helper()
	require.NoError(p.t, p.ws.WriteMessage(websocket.BinaryMessage, b))
}

func (p packets) read() string {
	p.t.Helper()
	for {
		require.NoError(p.t, p.ws.SetReadDeadline(time.Now().Add(patience)))
		_, b, err := p.ws.ReadMessage()
		require.NoError(p.t, err)
		if string(b) != "2" {
			return string(b)
		}
		p.write("3")
	}
}

// closed reads until the server closes.
func (p packets) closed() {
	p.t.Helper()
	var err error
	for err == nil {
		require.NoError(p.t, p.ws.SetReadDeadline(time.Now().Add(patience)))
		_, _, err = p.ws.ReadMessage()
	}
	var ce *websocket.CloseError
	require.ErrorAs(p.t, err, &ce)
	p.ws.Close()
}

const placeholders = `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}`

// scenarios are those of the suite that are of Socket.IO; those of Engine.IO are in engineio.
var scenarios = []struct {
	name string
	run  func(t *testing.T, s *suite)
}{
	{"connect", func(t *testing.T, s *suite) {
		for _, c := range []struct{ send, prefix, auth string }{
			{"40", "40", "{}"},
			{`40{"token":"123"}`, "40", `{"token":"123"}`},
			{"40/custom,", "40/custom,", "{}"},
			{`40/custom,{"token":"abc"}`, "40/custom,", `{"token":"abc"}`},
		} {
			p := s.shaken()
			p.write(c.send)
			require.NotEmpty(t, sidOf(t, p.read(), c.prefix))
			require.Equal(t, "42"+c.prefix[2:]+`["auth",`+c.auth+"]", p.read())
			p.ws.Close()
		}
	}},
	{"connect to nothing", func(t *testing.T, s *suite) {
		p := s.shaken()
		p.write("40/random")
		require.Equal(t, `44/random,{"message":"Invalid namespace"}`, p.read())
		p.ws.Close()
	}},
	{"a handshake that is none", func(_ *testing.T, s *suite) {
		p := s.shaken()
		p.write("4abc")
		p.closed()
	}},
	{"disconnect", func(t *testing.T, s *suite) {
		p := s.connected()
		p.write("41", "40")
		require.NotEmpty(t, sidOf(t, p.read(), "40"))
		p.ws.Close()
	}},
	{"disconnect from a namespace", func(t *testing.T, s *suite) {
		p := s.connected()
		p.write("40/custom")
		require.NotEmpty(t, sidOf(t, p.read(), "40/custom,"))
		require.Equal(t, `42/custom,["auth",{}]`, p.read())
		p.write("41/custom", `42["message","message to main namespace"]`)
		require.Equal(t, `42["message-back","message to main namespace"]`, p.read())
		p.ws.Close()
	}},
	{"messages", func(t *testing.T, s *suite) {
		p := s.connected()
		p.write(`42["message",1,"2",{"3":[true]}]`, `42456["message-with-ack",1,"2",{"3":[false]}]`)
		require.Equal(t, `42["message-back",1,"2",{"3":[true]}]`, p.read())
		require.Equal(t, `43456[1,"2",{"3":[false]}]`, p.read())
		p.ws.Close()
	}},
	{"binary messages", func(t *testing.T, s *suite) {
		p := s.connected()
		for send, back := range map[string]string{
			`452-["message",`:             `452-["message-back",`,
			`452-789["message-with-ack",`: `462-789[`,
		} {
			p.write(send + placeholders + "]")
			p.binary(1, 2, 3)
			p.binary(4, 5, 6)
			require.Equal(t, back+placeholders+"]", p.read())
			require.Equal(t, "\x01\x02\x03", p.read())
			require.Equal(t, "\x04\x05\x06", p.read())
		}
		p.ws.Close()
	}},
	{"all of it during an upgrade", func(t *testing.T, s *suite) {
		status, body := s.request(http.MethodGet, "", "")
		require.Equal(t, 200, status)
		var open struct{ SID string }
		require.NoError(t, json.Unmarshal([]byte(body[1:]), &open))
		p := s.dial("&sid=" + open.SID)
		p.write("2probe", "5", "40", `421["message-with-ack","x"]`)
		status, _ = s.request(http.MethodGet, "&sid="+open.SID, "")
		require.Equal(t, 400, status)
		require.Equal(t, "3probe", p.read())
		require.NotEmpty(t, sidOf(t, p.read(), "40"))
		require.Equal(t, `42["auth",{}]`, p.read())
		require.Equal(t, `431["x"]`, p.read())
		p.ws.Close()
	}},
}

func TestScenariosInBubbles(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for i := range 100 {
				synctest.Test(t, func(t *testing.T) {
					s := bubbled(t)
					defer s.stop()
					sc.run(t, s)
				})
				if t.Failed() {
					t.Fatalf("run %d", i)
				}
			}
		})
	}
}

// Over the network each scenario runs once, or as often as SCENARIOS says.
func TestScenariosOverTheNetwork(t *testing.T) {
	runs := 1
	if n, err := strconv.Atoi(os.Getenv("SCENARIOS")); err == nil {
		runs = n
	}
	for _, sc := range scenarios {
		for i := range runs {
			t.Run(fmt.Sprint(sc.name, " ", i), func(t *testing.T) {
				s := newSuite(t, 2*time.Second)
				s.http = httptest.NewServer(s.io)
				defer s.stop()
				sc.run(t, s)
			})
		}
	}
}

// Who shakes hands and then does not connect is sent away.
func TestWhoDoesNotConnectIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bubbled(t)
		defer s.stop()
		c := s.dial("")
		var err error
		for err == nil {
			var b []byte
			if _, b, err = c.ws.ReadMessage(); string(b) == "2" {
				c.write("3")
			}
		}
		var ce *websocket.CloseError
		require.ErrorAs(t, err, &ce)
		c.ws.Close()
	})
}
