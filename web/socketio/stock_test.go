package socketio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/socketio/stockclient"
)

// ways are the ways a stock client can be told to connect, and the transport it ends up with.
var ways = []struct {
	name, first, last string
	options           stockclient.Options
}{
	{"polling", "polling", "polling", stockclient.Options{"transports": []string{"polling"}}},
	{"websocket", "websocket", "websocket", stockclient.Options{"transports": []string{"websocket"}}},
	{"upgrade", "polling", "websocket", nil},
}

// settled waits until a client has connected and, if it does that, upgraded, whichever comes first.
func settled(c *stockclient.Client, upgrades bool) (connected stockclient.Happening) {
	for connected.Kind == "" || upgrades {
		switch h := c.Next(); h.Kind {
		case "connect":
			connected = h
		case "upgrade":
			upgrades = false
		}
	}
	return connected
}

func TestStockClients(t *testing.T) {
	h := serve(t, calm())
	d := stockclient.Start(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			c := d.Open(h.url, way.options)
			s := h.socket()
			require.Equal(t, s.ID(), settled(c, way.first != way.last).ID)
			require.Eventually(t, func() bool { return s.Session().Transport() == way.last }, patience, time.Millisecond)

			c.Emit("message", 1, "zwei ü€😀<&>", map[string]any{"a": []any{nil, true}})
			back := c.Await("event")
			require.Equal(t, "message-back", back.Name)
			require.Equal(t, `1 "zwei ü€😀<&>" {"a":[null,true]}`, join(back.Args))

			// The id of the first acknowledgement is 0.
			c.Ask("message-with-ack", "a", 2)
			require.Equal(t, `"a" 2`, join(c.Await("ack").Args))
			c.Ask("message-with-ack")
			require.Empty(t, c.Await("ack").Args)

			c.Ask("message-with-ack", stockclient.Binary{0, 1, 0xff}, map[string]any{"deep": []any{stockclient.Binary("x")}})
			answer := c.Await("ack").Args
			require.Len(t, answer, 2)
			requireBinary(t, []byte{0, 1, 0xff}, answer[0])
			var deep struct{ Deep []stockclient.Binary }
			require.NoError(t, json.Unmarshal(answer[1], &deep))
			require.Equal(t, "x", string(deep.Deep[0]))

			acks := make(chan socketio.Args, 1)
			require.NoError(t, s.EmitWithAck(context.Background(), func(args socketio.Args, err error) {
				if err != nil {
					t.Errorf("ack: %v", err)
				}
				acks <- args
			}, "binary", []byte{7, 8}, "and text"))
			event := c.Await("event")
			require.Equal(t, "binary", event.Name)
			requireBinary(t, []byte{7, 8}, event.Args[0])
			got := <-acks
			b, ok := got.Bytes(0)
			require.True(t, ok)
			require.Equal(t, []byte{7, 8}, b)
			require.Equal(t, `"and text"`, string(got.Raw(1)))

			c.Disconnect()
			require.Equal(t, "io client disconnect", c.Await("disconnect").Reason)
			require.Equal(t, end{s.ID(), socketio.ClientDisconnect}, h.end())
			require.Eventually(t, func() bool { return h.io.Engine().Len() == 0 }, patience, time.Millisecond)

			c.Connect()
			s = h.socket()
			c.Await("connect")
			s.Disconnect(true)
			require.Equal(t, "io server disconnect", c.Await("disconnect").Reason)
			require.Equal(t, end{s.ID(), socketio.ServerDisconnect}, h.end())
		})
	}
}

func join(args []json.RawMessage) string {
	var all []string
	for _, a := range args {
		all = append(all, string(a))
	}
	return strings.Join(all, " ")
}

func requireBinary(t *testing.T, want []byte, got json.RawMessage) {
	t.Helper()
	var b stockclient.Binary
	require.NoError(t, json.Unmarshal(got, &b), string(got))
	require.Equal(t, want, []byte(b))
}

func TestStockClientsInNamespaces(t *testing.T) {
	h := serve(t, calm(), func(s *socketio.Server) {
		s.Of("/members").Use(func(_ context.Context, _ *socketio.Socket, auth json.RawMessage) error {
			var who struct{ Token string }
			if json.Unmarshal(auth, &who) != nil || who.Token != "good" {
				return &socketio.Refusal{Message: "not authorized", Data: map[string]any{"code": 42}}
			}
			return nil
		})
	})
	d := stockclient.Start(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			with := func(more stockclient.Options) stockclient.Options {
				all := stockclient.Options{"reconnection": false}
				for _, o := range []stockclient.Options{way.options, more} {
					for k, v := range o {
						all[k] = v
					}
				}
				return all
			}
			c := d.Open(h.url+"/custom", with(nil))
			c.Await("connect")
			require.Equal(t, "/custom", h.socket().Namespace())
			c.Emit("message", "x")
			require.Equal(t, `"x"`, join(c.Await("event").Args))
			require.Equal(t, "Invalid namespace", d.Open(h.url+"/unknown", with(nil)).Await("connect_error").Message)
			refused := d.Open(h.url+"/members", with(stockclient.Options{"auth": map[string]string{"token": "bad"}})).Await("connect_error")
			require.Equal(t, "not authorized", refused.Message)
			require.JSONEq(t, `{"code":42}`, string(refused.Data))
			d.Open(h.url+"/members", with(stockclient.Options{"auth": map[string]string{"token": "good"}})).Await("connect")
		})
	}
}

func TestAStockClientOfAnotherPath(t *testing.T) {
	opts := calm()
	opts.Path = "/rt"
	h := serve(t, opts)
	d := stockclient.Start(t)
	d.Open(h.url, stockclient.Options{"path": "/rt/"}).Await("connect")
	d.Open(h.url, stockclient.Options{"path": "/rt", "addTrailingSlash": false}).Await("connect")
	d.Open(h.url, nil).Await("connect_error")
}

func TestStockClientsComeBackAfterARestart(t *testing.T) {
	h := serve(t, calm())
	d := stockclient.Start(t)
	var clients []*stockclient.Client
	for _, way := range ways {
		options := stockclient.Options{"reconnectionDelay": 50, "reconnectionDelayMax": 100}
		for k, v := range way.options {
			options[k] = v
		}
		c := d.Open(h.url, options)
		settled(c, way.first != way.last)
		clients = append(clients, c)
	}
	h.stop()
	for _, c := range clients {
		require.Contains(t, []string{"transport close", "transport error"}, c.Await("disconnect").Reason)
	}
	var l net.Listener
	require.Eventually(t, func() bool {
		var err error
		l, err = net.Listen("tcp", strings.TrimPrefix(h.url, "http://"))
		return err == nil
	}, patience, 10*time.Millisecond)
	serveOn(t, l, calm())
	for _, c := range clients {
		c.Await("connect")
		c.Emit("message", "back")
		require.Equal(t, `"back"`, join(c.Await("event").Args))
	}
}

func TestAStockClientKeepsItsConnectionByHeartbeats(t *testing.T) {
	opts := calm()
	opts.PingInterval, opts.PingTimeout = 500*time.Millisecond, time.Second
	h := serve(t, opts)
	d := stockclient.Start(t)
	var clients []*stockclient.Client
	for _, way := range ways {
		c := d.Open(h.url, way.options)
		c.Await("connect")
		clients = append(clients, c)
	}
	for _, c := range clients {
		for range 5 { // longer than a client lives that does not answer
			c.Await("ping")
		}
	}
	require.Empty(t, h.ended)
	for _, c := range clients {
		c.Emit("message", "alive")
		require.Equal(t, `"alive"`, join(c.Await("event").Args))
	}
}

func TestAStockClientThatFreezesTimesOutAndComesBack(t *testing.T) {
	opts := calm()
	opts.PingInterval, opts.PingTimeout = 300*time.Millisecond, 300*time.Millisecond
	h := serve(t, opts)
	d := stockclient.Start(t)
	var clients []*stockclient.Client
	for _, way := range ways {
		c := d.Open(h.url, way.options)
		settled(c, way.first != way.last)
		clients = append(clients, c)
	}
	d.Freeze(1500 * time.Millisecond)
	for range clients {
		require.Equal(t, engineio.PingTimeout, h.end().reason)
	}
	for _, c := range clients {
		c.Await("disconnect")
		c.Await("connect")
	}
}

func TestAStockClientThatSendsTooMuch(t *testing.T) {
	opts := calm()
	opts.MaxPayload = 10_000
	h := serve(t, opts)
	d := stockclient.Start(t)
	for _, way := range ways[:2] {
		c := d.Open(h.url, way.options)
		c.Await("connect")
		s := h.socket()
		// Clients split what is too much for one POST, at the borders of packets.
		for range 5 {
			c.Emit("message", strings.Repeat("x", 4000))
		}
		for range 5 {
			require.Len(t, join(c.Await("event").Args), 4002)
		}
		c.Emit("message", strings.Repeat("x", 10_000))
		c.Await("disconnect")
		require.Equal(t, s.ID(), h.end().id)
		c.Disconnect()
	}
}

// numbered is what a broadcast carries, and counts what became of it.
type numbered struct {
	engineio.Frames
	mu            *sync.Mutex
	written, lost *int
}

func (n numbered) Done(_ string, written bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if written {
		*n.written++
	} else {
		*n.lost++
	}
}

func TestFiftyStockClientsGetEachMessageOnceAndInOrder(t *testing.T) {
	const clients, messages = 50, 200
	h := serve(t, calm())
	d := stockclient.Start(t)
	all := make([]*stockclient.Client, clients)
	for i := range all {
		// They upgrade while messages come.
		all[i] = d.Open(h.url, ways[i%len(ways)].options)
	}
	sockets := make([]*socketio.Socket, clients)
	for i := range sockets {
		sockets[i] = h.socket()
	}
	var mu sync.Mutex
	var written, lost int
	for i := range messages {
		frame, err := socketio.Encode("/", "n", i)
		require.NoError(t, err)
		for _, s := range sockets {
			require.True(t, s.Push(numbered{frame, &mu, &written, &lost}))
		}
	}
	upgraded := 0
	for _, c := range all {
		for i := 0; i < messages; {
			switch e := c.Next(); e.Kind {
			case "upgrade":
				upgraded++
			case "event":
				require.Equal(t, fmt.Sprint(i), join(e.Args))
				i++
			case "connect":
			default:
				require.FailNow(t, e.Kind, e)
			}
		}
	}
	for _, c := range all {
		c.Emit("message", "last")
		for {
			if e := c.Next(); e.Kind == "event" {
				require.Equal(t, "message-back", e.Name, "a message came twice")
				break
			}
		}
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return written == clients*messages && lost == 0
	}, patience, time.Millisecond)
	t.Logf("%d clients upgraded before they had all", upgraded)
}

// Clients that send while they upgrade are heard once and in order too.
func TestStockClientsThatSendWhileTheyUpgrade(t *testing.T) {
	const messages = 300
	h := serve(t, calm())
	d := stockclient.Start(t)
	c := d.Open(h.url, nil)
	c.Await("connect")
	for i := range messages {
		c.Emit("message", i)
	}
	for i := 0; i < messages; {
		if e := c.Next(); e.Kind == "event" {
			require.Equal(t, fmt.Sprint(i), join(e.Args))
			i++
		}
	}
	require.Eventually(t, func() bool { return h.io.Engine().Len() == 1 }, patience, time.Millisecond)
}

func TestStockClientsAreSentAwayWhenTheServerCloses(t *testing.T) {
	h := serve(t, calm())
	d := stockclient.Start(t)
	var clients []*stockclient.Client
	for _, way := range ways {
		options := stockclient.Options{"reconnection": false}
		for k, v := range way.options {
			options[k] = v
		}
		c := d.Open(h.url, options)
		c.Await("connect")
		clients = append(clients, c)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, h.io.Close(ctx))
	for _, c := range clients {
		require.Equal(t, "transport close", c.Await("disconnect").Reason)
		require.Equal(t, engineio.Shutdown, h.end().reason)
	}
}
