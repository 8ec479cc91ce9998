package engineio_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestAnUpgrade(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	waiting := c.getLater()
	c.waitPolling(waiting)
	s := c.probed()
	require.Equal(t, "6", h.wait(waiting).body, "the poll was not sent home")
	require.Equal(t, "6", c.get().body)
	require.Equal(t, "ok", c.post("4by polling").body)
	require.Equal(t, "4by polling", c.get().body)
	s.write("5")
	s.write("4hello")
	require.Equal(t, "4hello", s.read())
	require.Equal(t, engineio.WebSocket, h.session(0).Transport())
	require.JSONEq(t, refusal(3, "Bad request"), c.get().body)
	require.JSONEq(t, refusal(3, "Bad request"), c.post("4x").body)
	s.write("4still here")
	require.Equal(t, "4still here", s.read())
}

func TestAPollThatStillWaitsWhenTheUpgradeCompletesIsSentHome(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	waiting := c.getLater()
	c.waitPolling(waiting)
	s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
	// An impatient client sends all at once.
	s.write("2probe")
	s.write("5")
	s.write("4hello")
	require.Equal(t, "6", h.wait(waiting).body)
	require.Equal(t, "3probe", s.read())
	require.Equal(t, "4hello", s.read())
}

func TestWhatWaitsIsSentOnceAndInOrderAfterTheUpgrade(t *testing.T) {
	opts := calm()
	opts.QueueLimit = 40
	h := serve(t, opts)
	c := h.poll()
	session := h.session(0)
	var items []*item
	push := func(texts ...string) {
		it := &item{n: len(texts)}
		for _, text := range texts {
			it.p = engineio.AppendMessage(it.p, []byte(text))
		}
		items = append(items, it)
		require.True(t, session.Push(it))
	}
	var want []string
	for i := range 10 {
		a, b := fmt.Sprint(i), fmt.Sprint(i, "b")
		push(a, b)
		want = append(want, "4"+a, "4"+b)
	}
	// The first poll takes sixteen packets; the next pushes begin with half an item for the WebSocket.
	push("x1", "x2", "x3")
	push("last")
	want = append(want, "4x1", "4x2", "4x3", "4last")
	got := strings.Split(c.get().body, sep)
	require.Len(t, got, 16)
	got = append(got, strings.Split(c.get().body, sep)...)
	require.Equal(t, want, got)

	long := make([]string, 17)
	for i := range long {
		long[i] = fmt.Sprint("y", i)
	}
	push(long...)
	got = strings.Split(c.get().body, sep)
	for i := range 20 {
		push(fmt.Sprint("z", i))
	}
	s := c.probed()
	s.write("5")
	for len(got) < 37 {
		got = append(got, s.read())
	}
	require.Equal(t, "4y15", got[15])
	require.Equal(t, "4y16", got[16])
	require.Equal(t, "4z0", got[17])
	require.Equal(t, "4z19", got[36])
	for _, it := range items {
		require.Eventually(t, func() bool { return it.written.Load() == 1 }, patience, time.Millisecond)
		require.Zero(t, it.lost.Load())
	}
}

// python-engineio sends its first message right behind the upgrade packet.
func TestAMessageRightBehindTheUpgrade(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
	s.write("2probe")
	require.Equal(t, "3probe", s.read())
	s.write("5")
	s.write("40")
	require.Equal(t, "40", s.read())
}

func TestMessagesDuringManyUpgradesArriveOnceAndInOrder(t *testing.T) {
	opts := calm()
	opts.QueueLimit = 10_000
	h := serve(t, opts)
	const clients, each = 8, 500
	for range clients {
		c := h.poll()
		session := h.byID(c.sid)
		go func() {
			for i := range each {
				session.Send([]byte(fmt.Sprint(i)))
			}
		}()
		var got []string
		take := func(body string) {
			for p := range strings.SplitSeq(body, sep) {
				if p != "6" {
					got = append(got, p)
				}
			}
		}
		for len(got) < 50 {
			take(c.get().body)
		}
		answer := c.getLater()
		s := c.probed()
		take(h.wait(answer).body)
		s.write("5")
		for len(got) < each {
			got = append(got, s.read())
		}
		for i, p := range got {
			require.Equal(t, fmt.Sprint("4", i), p)
		}
	}
}

func TestASecondWebSocketIsClosedAndTheSessionLives(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := c.probed()
	require.Equal(t, websocket.CloseNormalClosure, c.dial("EIO=4&transport=websocket&sid="+c.sid).closed(), "while upgrading")
	s.write("5")
	s.write("4x")
	require.Equal(t, "4x", s.read())
	require.Equal(t, websocket.CloseNormalClosure, c.dial("EIO=4&transport=websocket&sid="+c.sid).closed(), "after upgrading")
	s.write("4y")
	require.Equal(t, "4y", s.read())
	_, id := h.open()
	require.Equal(t, websocket.CloseNormalClosure, c.dial("EIO=4&transport=websocket&sid="+id).closed(), "never upgraded")
	require.Empty(t, h.ended)
}

func TestAnUpgradeThatFailsLeavesTheSessionPolling(t *testing.T) {
	opts := calm()
	opts.UpgradeTimeout = 200 * time.Millisecond
	h := serve(t, opts)
	c := h.poll()
	alive := func(t *testing.T) {
		t.Helper()
		answer := c.getLater()
		c.waitPolling(answer)
		require.Equal(t, "ok", c.post("4x").body)
		require.Equal(t, "4x", h.wait(answer).body)
	}
	t.Run("other packet", func(t *testing.T) {
		s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		s.write("4not yet")
		s.closed()
		alive(t)
	})
	t.Run("wrong probe", func(t *testing.T) {
		s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		s.write("2probing")
		s.closed()
		alive(t)
	})
	t.Run("no packet", func(t *testing.T) {
		s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
		s.write("x")
		s.closed()
		alive(t)
	})
	t.Run("closed after the probe", func(t *testing.T) {
		s := c.probed()
		require.NoError(t, s.ws.NetConn().Close())
		require.Eventually(t, func() bool { return !h.session(0).Probed() }, patience, time.Millisecond)
		answer := c.getLater()
		c.waitPolling(answer)
		h.session(0).Send(nil)
		require.Equal(t, "4", h.wait(answer).body)
		alive(t)
	})
	t.Run("no upgrade packet in time", func(t *testing.T) {
		s := c.probed()
		s.closed()
		alive(t)
	})
	c.upgraded().write("4x")
	require.Equal(t, "x", <-h.got)
}

func TestAClosedSessionClosesItsProbe(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := c.probed()
	h.session(0).Abort("enough", nil)
	require.Equal(t, websocket.ClosePolicyViolation, s.closed())
	h.end()
}

func TestAClosingSessionMayStillUpgradeToFetchWhatWaits(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := c.probed()
	require.True(t, h.session(0).Send([]byte("last")))
	h.session(0).Close(engineio.ForcedClose)
	s.write("5")
	require.Equal(t, "4last", s.read())
	require.Equal(t, websocket.CloseNormalClosure, s.closed())
	require.Zero(t, h.eio.Len())
}

func TestAPollThatBreaksAfterTheUpgradeDoesNoHarm(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := c.probed()
	began, cut, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
	req, err := http.NewRequest("GET", h.url(c.query()), nil)
	require.NoError(t, err)
	go func() {
		defer close(answered)
		h.eio.ServeHTTP(vanishing{httptest.NewRecorder(), began, cut}, req)
	}()
	<-began
	s.write("5")
	s.write("4x")
	require.Equal(t, "4x", s.read())
	close(cut)
	<-answered
	s.write("4y")
	require.Equal(t, "4y", s.read())
	require.Empty(t, h.ended)
}

func TestAnUpgradeWithoutAProbeSendsAPollHomeToo(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	waiting := c.getLater()
	c.waitPolling(waiting)
	s := c.dial("EIO=4&transport=websocket&sid=" + c.sid)
	s.write("5")
	require.Equal(t, "6", h.wait(waiting).body)
	s.write("4x")
	require.Equal(t, "4x", s.read())
}
