package socketio_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestConnecting(t *testing.T) {
	auths := make(chan string, 10)
	h := serve(t, calm(), func(s *socketio.Server) {
		for _, name := range []string{"/", "/custom"} {
			s.Of(name).Use(func(_ context.Context, _ *socketio.Socket, auth json.RawMessage) error {
				auths <- string(auth)
				return nil
			})
		}
	})
	for _, tc := range []struct{ send, prefix, auth string }{
		{"40", "40", "{}"},
		{`40{"token":"123"}`, "40", `{"token":"123"}`},
		{"40/,", "40", "{}"},
		{"40/custom,", "40/custom,", "{}"},
		{"40/custom", "40/custom,", "{}"},
		{`40/custom,{"token":"abc"}`, "40/custom,", `{"token":"abc"}`},
	} {
		r := h.dial()
		r.write(tc.send)
		sid := sidOf(t, r.read(), tc.prefix)
		s := h.socket()
		require.Equal(t, s.ID(), sid, tc.send)
		require.NotEqual(t, s.Session().ID(), sid, "the session's id is a secret")
		require.Equal(t, tc.auth, <-auths)
		require.True(t, s.Connected())
	}
}

func TestAnUnknownNamespaceIsRefusedAndTheConnectionLives(t *testing.T) {
	h := serve(t, calm())
	r := h.dial()
	r.write("40/random")
	require.Equal(t, `44/random,{"message":"Invalid namespace"}`, r.read())
	r.write("40/random,{}")
	require.Equal(t, `44/random,{"message":"Invalid namespace"}`, r.read())
	r.write("40")
	sidOf(t, r.read(), "40")
}

func TestAConnectionMayBeRefusedWithAReason(t *testing.T) {
	h := serve(t, calm(), func(s *socketio.Server) {
		s.Of("/").Use(func(_ context.Context, s *socketio.Socket, auth json.RawMessage) error {
			if err := s.Emit("too early"); !errors.Is(err, socketio.ErrDisconnected) {
				t.Errorf("emitted to a socket that is not connected: %v", err)
			}
			switch string(auth) {
			case "{}":
				return fmt.Errorf("no <token>")
			case `{"token":"old"}`:
				return fmt.Errorf("wrapped: %w", &socketio.Refusal{Message: "expired", Data: map[string]any{"since": 3}})
			case `{"token":"odd"}`:
				return &socketio.Refusal{Message: "odd", Data: func() {}}
			}
			return nil
		})
	})
	r := h.dial()
	r.write("40")
	require.Equal(t, `44{"message":"no <token>"}`, r.read())
	r.write(`40{"token":"old"}`)
	require.Equal(t, `44{"message":"expired","data":{"since":3}}`, r.read())
	r.write(`40{"token":"odd"}`)
	require.Equal(t, `44{"message":"odd"}`, r.read())
	r.write(`40{"token":"new"}`)
	sidOf(t, r.read(), "40")
	// The client may read that it is connected before the server's function for it has run.
	require.Eventually(t, func() bool { return len(h.opened) > 0 }, patience, time.Millisecond)
	require.Len(t, h.opened, 1)
}

func TestWhatBreaksTheRulesClosesTheOneConnection(t *testing.T) {
	h := serve(t, calm())
	other, _ := h.connect()
	for _, tc := range []struct {
		name   string
		send   []string
		binary bool
		reason socketio.Reason
	}{
		{"unknown type", []string{"4abc"}, false, engineio.ParseError},
		{"no type", []string{"4"}, false, engineio.ParseError},
		{"type 7", []string{"47"}, false, engineio.ParseError},
		{"payload is no array", []string{"42{}"}, false, engineio.ParseError},
		{"payload is an empty array", []string{"42[]"}, false, engineio.ParseError},
		{"payload is missing", []string{"42"}, false, engineio.ParseError},
		{"payload is broken", []string{`42["a"`}, false, engineio.ParseError},
		{"payload has more behind it", []string{`42["a"]]`}, false, engineio.ParseError},
		{"name is no string", []string{`42[{"a":1}]`}, false, engineio.ParseError},
		{"name is null", []string{`42[null]`}, false, engineio.ParseError},
		{"name is reserved", []string{`42["disconnect"]`}, false, engineio.ParseError},
		{"name is reserved and escaped", []string{`42["dis\u0063onnect"]`}, false, engineio.ParseError},
		{"bad ack id", []string{`42abc["message"]`}, false, engineio.ParseError},
		{"huge ack id", []string{`4299999999999999999999["message"]`}, false, engineio.ParseError},
		{"ack without id", []string{`43[]`}, false, engineio.ParseError},
		{"ack without payload", []string{`431`}, false, engineio.ParseError},
		{"disconnect with payload", []string{`41{}`}, false, engineio.ParseError},
		{"connect with an array", []string{`40[]`}, false, engineio.ParseError},
		{"connect twice", []string{"40"}, false, socketio.ForcedServerClose},
		{"connect error from a client", []string{`44{"message":"x"}`}, false, socketio.ForcedServerClose},
		{"event for a namespace not connected to", []string{`42/custom,["message"]`}, false, socketio.ForcedServerClose},
		{"disconnect from a namespace not connected to", []string{`41/custom`}, false, socketio.ForcedServerClose},
		{"no number of attachments", []string{`45-["a"]`}, false, engineio.ParseError},
		{"no attachments", []string{`450-["a"]`}, false, engineio.ParseError},
		{"no dash", []string{`451["a"]`}, false, engineio.ParseError},
		{"too many attachments", []string{`4511-["a"]`}, false, engineio.ParseError},
		{"fraction of attachments", []string{`451.5-["a"]`}, false, engineio.ParseError},
		{"placeholder out of range", []string{`451-["a",{"_placeholder":true,"num":1}]`}, false, engineio.ParseError},
		{"placeholder without number", []string{`451-["a",{"x":[{"_placeholder":true}]}]`}, false, engineio.ParseError},
		{"text in place of an attachment", []string{`451-["a",{"_placeholder":true,"num":0}]`, `42["message"]`}, false, engineio.ParseError},
		{"attachment out of the blue", nil, true, engineio.ParseError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := h.connect()
			r.t = t
			r.write(tc.send...)
			if tc.binary {
				r.writeBinary(1, 2, 3)
			}
			r.closed()
			require.Equal(t, end{s.ID(), tc.reason}, h.end())
		})
	}
	other.write(`42["message","here"]`)
	require.Equal(t, `42["message-back","here"]`, other.read())
}

func TestAnythingBeforeConnectClosesTheConnection(t *testing.T) {
	h := serve(t, calm())
	for _, text := range []string{`42["message"]`, "41", "431[]", "4abc", `44{"message":"x"}`} {
		r := h.dial()
		r.write(text)
		r.closed()
	}
	require.Empty(t, h.opened)
	require.Empty(t, h.ended)
}

func TestAClientThatDoesNotConnectInTimeIsSentAway(t *testing.T) {
	opts := calm()
	opts.ConnectTimeout = 200 * time.Millisecond
	h := serve(t, opts)
	r, _ := h.connect()
	h.dial().closed()
	r.write(`42["message","here"]`)
	require.Equal(t, `42["message-back","here"]`, r.read())
}

func TestPayloadsComeBackByteForByte(t *testing.T) {
	h := serve(t, calm())
	r, _ := h.connect()
	for _, args := range []string{
		`1,"2",{"3":[true]}`,
		`12345678901234567890123,1e400,-0,1.10,1E5`,
		`"<&>\u003c\/ü€😀\ud83d\ude00",{"b":1,"a":2,"a":3}`,
		`{ "spaced" : [ 1 , 2 ] },[[],{}],"]},{[","\\","\"",null,true`,
		"\"\u2028\"",
	} {
		r.write(`42["message",` + args + `]`)
		require.Equal(t, `42["message-back",`+args+`]`, r.read())
		r.write(`42456["message-with-ack",` + args + `]`)
		require.Equal(t, `43456[`+args+`]`, r.read())
		r.write(`420["message-with-ack",` + args + `]`)
		require.Equal(t, `430[`+args+`]`, r.read())
	}
	r.write(`42["message"]`)
	require.Equal(t, `42["message-back"]`, r.read())
	r.write(`42[ "message" , 1 ]`)
	require.Equal(t, `42["message-back",1]`, r.read())
	r.write(`427[ "message-with-ack" ]`)
	require.Equal(t, `437[]`, r.read())
}

func TestBinaryComesBack(t *testing.T) {
	h := serve(t, calm())
	r, _ := h.connect()
	r.write(`452-["message",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1}]}]`)
	r.writeBinary(1, 2, 3)
	r.writeBinary(4, 5, 6)
	require.Equal(t, `452-["message-back",{"_placeholder":true,"num":0},{"deep":[{"_placeholder":true,"num":1}]}]`, r.read())
	require.Equal(t, "\x01\x02\x03", r.read())
	require.Equal(t, "\x04\x05\x06", r.read())
	r.write(`452-789["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`)
	r.writeBinary(1, 2, 3)
	r.write("bBAUG")
	require.Equal(t, `462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, r.read())
	require.Equal(t, "\x01\x02\x03", r.read())
	require.Equal(t, "\x04\x05\x06", r.read())
}

func TestNamespacesShareAConnection(t *testing.T) {
	h := serve(t, calm())
	r, main := h.connect()
	r.write("40/custom,")
	sidOf(t, r.read(), "40/custom,")
	custom := h.socket()
	require.Equal(t, "/custom", custom.Namespace())
	require.Same(t, main.Session(), custom.Session())
	r.write(`42/custom,["message","a"]`, `42/custom,5["message-with-ack","b"]`)
	require.Equal(t, `42/custom,["message-back","a"]`, r.read())
	require.Equal(t, `43/custom,5["b"]`, r.read())

	r.write("41/custom")
	require.Equal(t, end{custom.ID(), socketio.ClientDisconnect}, h.end())
	r.write(`42["message","still here"]`)
	require.Equal(t, `42["message-back","still here"]`, r.read())
	require.ErrorIs(t, custom.Emit("x"), socketio.ErrDisconnected)

	r.write("40/custom,")
	sidOf(t, r.read(), "40/custom,")
	again := h.socket()
	require.NotEqual(t, custom.ID(), again.ID())
	again.Disconnect(false)
	require.Equal(t, "41/custom,", r.read())
	require.Equal(t, end{again.ID(), socketio.ServerDisconnect}, h.end())
	// What was on its way by then is no offence.
	r.write(`42/custom,["message","late"]`, `42["message","still here"]`)
	require.Equal(t, `42["message-back","still here"]`, r.read())
	r.write("40/custom,")
	sidOf(t, r.read(), "40/custom,")
	last := h.socket()
	last.Disconnect(true)
	require.ElementsMatch(t, []string{"41", "41/custom,"}, []string{r.read(), r.read()})
	require.Equal(t, 1000, r.closed())
	require.ElementsMatch(t, []end{{main.ID(), socketio.ServerDisconnect}, {last.ID(), socketio.ServerDisconnect}}, []end{h.end(), h.end()})
	last.Disconnect(true)
	require.Empty(t, h.ended)
}

func TestASocketMayBeDisconnectedByItsOwnHandler(t *testing.T) {
	h := serve(t, calm(), func(s *socketio.Server) {
		s.Of("/").On("bye", func(_ context.Context, s *socketio.Socket, _ *socketio.Event) { s.Disconnect(true) })
	})
	r, s := h.connect()
	r.write(`42["bye"]`, `42["message","not heard"]`)
	require.Equal(t, "41", r.read())
	r.closed()
	require.Equal(t, end{s.ID(), socketio.ServerDisconnect}, h.end())
}

func TestDisconnectReasonsOfTheTransport(t *testing.T) {
	h := serve(t, calm())
	r, s := h.connect()
	r.ws.Close()
	require.Equal(t, end{s.ID(), engineio.TransportClose}, h.end())
	r, s = h.connect()
	r.write("2")
	require.Equal(t, end{s.ID(), engineio.TransportError}, h.end())
	r, s = h.connect()
	r.write("x")
	require.Equal(t, end{s.ID(), engineio.ParseError}, h.end())
	_, s = h.connect()
	h.stop()
	require.Equal(t, end{s.ID(), engineio.Shutdown}, h.end())

	opts := calm()
	opts.PingInterval, opts.PingTimeout = 100*time.Millisecond, 100*time.Millisecond
	h = serve(t, opts)
	_, s = h.connect()
	require.Equal(t, end{s.ID(), engineio.PingTimeout}, h.end())
}

func TestAcknowledgementsFromTheClient(t *testing.T) {
	h := serve(t, calm())
	r, s := h.connect()
	type answer struct {
		args socketio.Args
		err  error
	}
	answers := make(chan answer, 10)
	done := func(args socketio.Args, err error) { answers <- answer{args, err} }
	ask := func(ctx context.Context) { require.NoError(t, s.EmitWithAck(ctx, done, "ask", 1, []byte{9})) }

	ask(context.Background())
	require.Equal(t, `451-0["ask",1,{"_placeholder":true,"num":0}]`, r.read())
	require.Equal(t, "\x09", r.read())
	r.write(`430["yes",2]`)
	got := <-answers
	require.NoError(t, got.err)
	require.Equal(t, `"yes"`, string(got.args.Raw(0)))
	require.Equal(t, `2`, string(got.args.Raw(1)))

	ask(context.Background())
	require.Contains(t, r.read(), `451-1["ask"`)
	r.read()
	r.write(`461-1[{"_placeholder":true,"num":0}]`)
	r.writeBinary(7)
	got = <-answers
	b, ok := got.args.Bytes(0)
	require.True(t, ok)
	require.Equal(t, []byte{7}, b)

	ctx, cancel := context.WithCancel(context.Background())
	ask(ctx)
	cancel()
	require.ErrorIs(t, (<-answers).err, context.Canceled)
	r.write(`432["too late"]`, `431["twice"]`, `4399["never asked"]`)

	ask(context.Background())
	require.Error(t, s.EmitWithAck(context.Background(), done, "bad", func() {}))
	r.ws.Close()
	require.ErrorIs(t, (<-answers).err, socketio.ErrDisconnected)
	h.end()
	require.ErrorIs(t, s.EmitWithAck(context.Background(), done, "gone"), socketio.ErrDisconnected)
	require.Empty(t, answers)
}

func TestOnlySoManyAcknowledgementsAreAwaited(t *testing.T) {
	h := serve(t, calm())
	r, s := h.connect()
	for range 1024 {
		require.NoError(t, s.EmitWithAck(context.Background(), func(socketio.Args, error) {}, "ask"))
	}
	require.ErrorIs(t, s.EmitWithAck(context.Background(), func(socketio.Args, error) {}, "ask"), socketio.ErrTooManyAcks)
	s.Disconnect(true)
	r.closed()
}

func TestEventsThatCannotBeSent(t *testing.T) {
	opts := calm()
	opts.QueueLimit = 10
	h := serve(t, opts)
	_, s := h.connect()
	require.ErrorIs(t, s.Emit("disconnect"), socketio.ErrReserved)
	require.Error(t, s.Emit("x", make(chan int)))
	require.Error(t, s.Emit("x", socketio.Args{}, 1))
	full := false
	big := strings.Repeat("x", 1<<20)
	for range 1000 {
		if err := s.Emit("big", big); err != nil {
			require.ErrorIs(t, err, socketio.ErrFull)
			full = true
			break
		}
	}
	require.True(t, full, "the queue has no bound")
}

func TestOtherEvents(t *testing.T) {
	names := make(chan string, 10)
	h := serve(t, calm(), func(s *socketio.Server) {
		s.Of("/").OnOther(func(_ context.Context, _ *socketio.Socket, ev *socketio.Event) {
			names <- ev.Name
			if err := ev.Ack("other"); err != nil {
				t.Errorf("ack: %v", err)
			}
			if err := ev.Ack("twice"); err != nil {
				t.Errorf("second ack: %v", err)
			}
		})
	})
	r, _ := h.connect()
	r.write(`423["a\"\u0062"]`, `424[-7]`, `42["quiet"]`, `42["message","end"]`)
	require.Equal(t, `433["other"]`, r.read())
	require.Equal(t, `434["other"]`, r.read())
	require.Equal(t, `42["message-back","end"]`, r.read())
	require.Equal(t, `a"b`, <-names)
	require.Equal(t, "-7", <-names)
	require.Equal(t, "quiet", <-names)
}

func TestArguments(t *testing.T) {
	got := make(chan *socketio.Event, 1)
	h := serve(t, calm(), func(s *socketio.Server) {
		s.Of("/").On("x", func(_ context.Context, _ *socketio.Socket, ev *socketio.Event) { got <- ev })
	})
	r, _ := h.connect()
	r.write(`451-["x",{"n":3},{"_placeholder":true,"num":0}]`)
	r.writeBinary(5)
	ev := <-got
	require.Equal(t, 2, ev.Len())
	require.False(t, ev.WantsAck())
	var v struct{ N int }
	require.NoError(t, ev.Decode(0, &v))
	require.Equal(t, 3, v.N)
	require.Error(t, ev.Decode(0, new(string)))
	require.Equal(t, "null", string(ev.Raw(2)))
	_, ok := ev.Bytes(0)
	require.False(t, ok)
	b, ok := ev.Bytes(1)
	require.True(t, ok)
	require.Equal(t, []byte{5}, b)
	require.Equal(t, [][]byte{{5}}, ev.Attachments())
	r.write(`42["x",{"_placeholder":true,"num":0}]`)
	_, ok = (<-got).Bytes(0)
	require.False(t, ok, "a placeholder without attachments is an object like others")
}

// python-socketio sends its CONNECT right behind the upgrade packet, and rejects payloads of more than 16 packets.
func TestWhatPythonClientsDo(t *testing.T) {
	h := serve(t, calm())
	get := func(query string) string {
		resp, err := http.Get(h.url + "/socket.io/?EIO=4&transport=polling" + query)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		return string(b)
	}
	var open struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(get("")[1:]), &open))
	r := h.upgrade(open.SID)
	r.write("2probe")
	require.Equal(t, "3probe", r.read())
	r.write("5", "40")
	sidOf(t, r.read(), "40")
	s := h.socket()
	require.Equal(t, engineio.WebSocket, s.Session().Transport())
	r.ws.Close()

	require.NoError(t, json.Unmarshal([]byte(get("")[1:]), &open))
	resp, err := http.Post(h.url+"/socket.io/?EIO=4&transport=polling&sid="+open.SID, "text/plain", strings.NewReader("40"))
	require.NoError(t, err)
	resp.Body.Close()
	s = h.socket()
	for i := range 40 {
		require.NoError(t, s.Emit("n", i))
	}
	var packets []string
	for len(packets) < 41 {
		some := strings.Split(get("&sid="+open.SID), "\x1e")
		require.LessOrEqual(t, len(some), 16)
		packets = append(packets, some...)
	}
	require.Equal(t, `42["n",0]`, packets[1])
	require.Equal(t, `42["n",39]`, packets[40])
}

// What a client has the server keep of a packet that is not whole is bounded by what one message may have.
func TestAttachmentsAreBoundedInBytes(t *testing.T) {
	opts := calm()
	opts.MaxPayload = 1000
	h := serve(t, opts)
	const packet = `452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`
	rest := 1000 - (len(packet) - 1) // without the type of the Engine.IO packet

	r, _ := h.connect()
	r.write(packet)
	r.writeBinary(make([]byte, rest/2)...)
	r.writeBinary(make([]byte, rest-rest/2)...)
	require.Contains(t, r.read(), "message-back", "as many as there may be")

	r, s := h.connect()
	r.write(packet)
	r.writeBinary(make([]byte, rest/2)...)
	r.writeBinary(make([]byte, rest-rest/2+1)...)
	r.closed()
	require.Equal(t, end{s.ID(), engineio.ParseError}, h.end())
}

func TestThereMayBeNoAttachments(t *testing.T) {
	opts := calm()
	opts.MaxAttachments = -1
	h := serve(t, opts)
	r, s := h.connect()
	r.write(`451-["message",{"_placeholder":true,"num":0}]`)
	r.closed()
	require.Equal(t, end{s.ID(), engineio.ParseError}, h.end())
}
