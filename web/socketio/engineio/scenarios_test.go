package engineio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/wstest"
)

// How the two orders of what races end is looked at in bubbles, where they can be told apart.

func TestAPollBehindTheClosePacketGetsTheLastWord(t *testing.T) {
	opts := calm()
	opts.Places = &seats{left: 1}
	inBubble(t, opts, func(t *testing.T, h *host) {
		c := h.poll()
		require.Equal(t, "ok", c.post("1").body)
		require.Zero(t, h.eio.Len())
		next := h.poll() // the place is free at once
		require.Equal(t, reply{200, "6", nil}, bare(c.get()))
		require.JSONEq(t, refusal(1, "Session ID unknown"), c.get().body)
		require.Equal(t, "ok", next.post("4x").body)
	})
}

func TestAPollAheadOfTheClosePacketGetsTheOnlyLastWord(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		waiting := c.getLater()
		synctest.Wait()
		require.Equal(t, "ok", c.post("1").body)
		require.Equal(t, reply{200, "6", nil}, bare(h.wait(waiting)))
		require.Equal(t, 400, c.get().status)
	})
}

func TestTheLastWordIsNotKeptForLong(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		require.Equal(t, "ok", c.post("1").body)
		time.Sleep(time.Second)
		require.JSONEq(t, refusal(1, "Session ID unknown"), c.get().body)
		// Only a poll may come late.
		c = h.poll()
		require.Equal(t, "ok", c.post("1").body)
		require.JSONEq(t, refusal(1, "Session ID unknown"), c.post("4x").body)
		_, res, err := h.dialer.Dial("ws"+h.url(c.query())[4:], nil)
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.Equal(t, 400, res.StatusCode)
	})
}

func TestThereIsNoLateWordForWhoIsSentAway(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		require.Equal(t, 400, c.post("abc").status)
		require.Equal(t, 400, c.get().status)
	})
}

func TestOnlySoManyLastWordsAreKept(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		late := 0
		var clients []client
		for range 1100 {
			c := h.poll()
			require.Equal(t, "ok", c.post("1").body)
			clients = append(clients, c)
		}
		for _, c := range clients {
			if c.get().status == 200 {
				late++
			}
		}
		require.Equal(t, 1024, late)
	})
}

func TestAPollDuringTheProbeIsRefusedOnceTheUpgradeIsComplete(t *testing.T) {
	for _, probe := range []string{"before the probe packet", "behind the probe packet"} {
		t.Run(probe, func(t *testing.T) {
			inBubble(t, calm(), func(t *testing.T, h *host) {
				c := h.poll()
				s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
				synctest.Wait()
				if probe == "behind the probe packet" {
					s.write("2probe")
					require.Equal(t, "3probe", s.read())
				}
				waiting := c.getLater()
				synctest.Wait()
				if probe == "before the probe packet" {
					s.write("2probe")
					require.Equal(t, "3probe", s.read())
				}
				time.Sleep(50 * time.Millisecond)
				require.Empty(t, waiting, "it was sent home before the upgrade could be complete")
				s.write("5")
				r := h.wait(waiting)
				require.Equal(t, 400, r.status)
				require.JSONEq(t, refusal(3, "Bad request"), r.body)
				s.write("4hello")
				require.Equal(t, "4hello", s.read())
			})
		})
	}
}

func TestAPollWhileTheHandshakeOfTheProbeIsAnsweredIsOneDuringTheProbe(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		conn, err := h.dialer.NetDialContext(t.Context(), "", "")
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, wstest.Request("/engine.io/?EIO=4&transport=websocket&sid="+c.sid))
		require.NoError(t, err)
		synctest.Wait() // the answer is being written
		waiting := c.getLater()
		synctest.Wait()
		_, err = http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		_, err = io.WriteString(conn, wstest.Frame(wstest.Final|wstest.Text, "2probe")+wstest.Frame(wstest.Final|wstest.Text, "5"))
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, conn) }()
		require.Equal(t, 400, h.wait(waiting).status)
	})
}

func TestAPollDuringAProbeThatIsNotCompletedIsSentHome(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		s := c.probed()
		began := time.Now()
		require.Equal(t, reply{200, "6", nil}, bare(c.get()))
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		s.write("5")
		s.write("4hello")
		require.Equal(t, "4hello", s.read())
	})
}

func TestAPollAheadOfTheProbeIsSentHomeAtOnce(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		waiting := c.getLater()
		synctest.Wait()
		began := time.Now()
		s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		time.Sleep(time.Second)
		require.Empty(t, waiting)
		s.write("2probe")
		require.Equal(t, reply{200, "6", nil}, bare(h.wait(waiting)))
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, "3probe", s.read())
	})
}

func TestWhatWaitsIsStillPolledDuringAProbe(t *testing.T) {
	inBubble(t, calm(), func(t *testing.T, h *host) {
		c := h.poll()
		c.probed()
		waiting := c.getLater()
		synctest.Wait()
		began := time.Now()
		require.True(t, h.session(0).Send([]byte("x")))
		require.Equal(t, "4x", h.wait(waiting).body)
		require.Zero(t, time.Since(began))
	})
}

// bare is a reply without its header.
func bare(r reply) reply { return reply{r.status, r.body, nil} }

// scenarios are those of the protocol document's test suite, with what may race sent at once.
var scenarios = []struct {
	name string
	run  func(t *testing.T, h *host)
}{
	{"handshake", func(t *testing.T, h *host) {
		for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=websocket"} {
			var text, upgrades string
			if query == "EIO=4&transport=polling" {
				r := h.do("GET", query, "")
				require.Equal(t, 200, r.status)
				text, upgrades = r.body, `["websocket"]`
			} else {
				s := h.dial(query)
				text, upgrades = s.read(), `[]`
				s.ws.Close()
			}
			var open map[string]json.RawMessage
			require.Equal(t, "0", text[:1])
			require.NoError(t, json.Unmarshal([]byte(text[1:]), &open))
			require.Len(t, open, 5)
			require.NotEmpty(t, open["sid"])
			require.Equal(t, upgrades, string(open["upgrades"]))
			require.Equal(t, "300", string(open["pingInterval"]))
			require.Equal(t, "1000000", string(open["maxPayload"]))
			require.Contains(t, open, "pingTimeout")
		}
	}},
	{"bad handshakes", func(t *testing.T, h *host) {
		for _, query := range []string{"transport=polling", "EIO=abc&transport=polling", "EIO=4", "EIO=4&transport=abc"} {
			require.Equal(t, 400, h.do("GET", query, "").status)
		}
		for _, method := range []string{"POST", "PUT"} {
			require.Equal(t, 400, h.do(method, "EIO=4&transport=polling", "").status)
		}
		for _, query := range []string{"transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"} {
			_, _, err := h.dialer.Dial("ws"+h.url(query)[4:], nil)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
		}
	}},
	{"messages by polling", func(t *testing.T, h *host) {
		for _, payload := range []string{"4hello", "4test1" + sep + "4test2" + sep + "4test3", "4hello" + sep + "bAQIDBA=="} {
			c := h.poll()
			require.Equal(t, reply{200, "ok", nil}, bare(c.post(payload)))
			require.Equal(t, reply{200, payload, nil}, bare(c.get()))
		}
	}},
	{"a payload that is none", func(t *testing.T, h *host) {
		c := h.poll()
		require.Equal(t, 400, c.post("abc").status)
		require.Equal(t, 400, c.get().status)
	}},
	{"two polls", func(t *testing.T, h *host) {
		c := h.poll()
		first, second := c.getLater(), c.getLater()
		a, b := h.wait(first), h.wait(second)
		if a.status != 200 {
			a, b = b, a
		}
		require.Equal(t, reply{200, "1", nil}, bare(a))
		require.Equal(t, 400, b.status)
		require.Equal(t, 400, c.get().status)
	}},
	{"a poll that is given up", func(t *testing.T, h *host) {
		c := h.poll()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond) // by when it waits
		defer cancel()
		_, err := c.try(ctx, "GET", c.query(), "")
		require.Error(t, err)
		require.Equal(t, 400, c.get().status)
	}},
	{"messages by WebSocket", func(t *testing.T, h *host) {
		s, _ := h.open()
		s.write("4hello")
		require.Equal(t, "4hello", s.data())
		require.NoError(t, s.ws.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3, 4}))
		require.Equal(t, "\x01\x02\x03\x04", s.data())
		s.ws.Close()
	}},
	{"a WebSocket message that is none", func(t *testing.T, h *host) {
		s, _ := h.open()
		s.write("abc")
		s.closed()
		s.ws.Close()
	}},
	{"heartbeats of polling", func(t *testing.T, h *host) {
		c := h.poll()
		for range 3 {
			require.Equal(t, reply{200, "2", nil}, bare(c.get()))
			require.Equal(t, 200, c.post("3").status)
		}
		h.end() // by its timeout, as no more pongs come
		require.Equal(t, 400, c.get().status)
	}},
	{"heartbeats of WebSocket", func(t *testing.T, h *host) {
		s, _ := h.open()
		for range 3 {
			require.Equal(t, "2", s.read())
			s.write("3")
		}
		s.closed()
		s.ws.Close()
	}},
	{"a close packet and a poll at once", func(t *testing.T, h *host) {
		c := h.poll()
		poll, post := c.getLater(), c.later("POST", "1")
		require.Equal(t, reply{200, "6", nil}, bare(h.wait(poll)))
		require.Equal(t, 200, h.wait(post).status)
		require.Equal(t, 400, c.get().status)
	}},
	{"a close packet by WebSocket", func(t *testing.T, h *host) {
		s, _ := h.open()
		s.write("1")
		s.closed()
		s.ws.Close()
	}},
	{"an upgrade", func(t *testing.T, h *host) {
		c := h.poll()
		s := c.probed()
		require.Equal(t, reply{200, "6", nil}, bare(c.get()))
		s.write("5")
		s.write("4hello")
		require.Equal(t, "4hello", s.data())
		s.ws.Close()
	}},
	{"a poll behind the upgrade", func(t *testing.T, h *host) {
		c := h.poll()
		s := c.probed()
		s.write("5")
		require.Equal(t, 400, c.get().status)
		s.write("4hello")
		require.Equal(t, "4hello", s.data())
		s.ws.Close()
	}},
	{"a probe, an upgrade and a poll at once", func(t *testing.T, h *host) {
		c := h.poll()
		s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		s.write("2probe")
		s.write("5")
		require.Equal(t, 400, c.get().status)
		require.Equal(t, "3probe", s.read())
		s.ws.Close()
	}},
	{"a second WebSocket behind the upgrade", func(t *testing.T, h *host) {
		c := h.poll()
		s := c.probed()
		s.write("5")
		second := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		second.closed()
		second.ws.Close()
		s.write("4hello")
		require.Equal(t, "4hello", s.data())
		s.ws.Close()
	}},
}

// data is the next packet that is no ping.
func (s socket) data() string {
	s.t.Helper()
	for {
		if p := s.read(); p != "2" {
			return p
		}
	}
}

// suiteOptions are those that the suite asks for, but for the time that a client of a busy machine may take for a pong.
func suiteOptions(pingTimeout time.Duration) engineio.Options {
	return engineio.Options{PingInterval: 300 * time.Millisecond, PingTimeout: pingTimeout}
}

func TestScenariosInBubbles(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for i := range 100 {
				inBubble(t, suiteOptions(200*time.Millisecond), func(t *testing.T, h *host) { sc.run(t, h) })
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
			t.Run(fmt.Sprint(sc.name, " ", i), func(t *testing.T) { sc.run(t, serve(t, suiteOptions(2*time.Second))) })
		}
	}
}
