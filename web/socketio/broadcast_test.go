package socketio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio"
	"github.com/traceroom/traceroom/web/socketio/engineio"
)

func TestAllSocketsOfANamespaceGetItsBroadcastsInOneOrder(t *testing.T) {
	h := serve(t, calm())
	var all []raw
	for range 5 {
		c, _ := h.connect()
		all = append(all, c)
	}
	other := h.dial()
	other.write("40/custom,")
	other.read()
	h.socket()

	const each = 50
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Go(func() {
			for n := range each {
				if err := h.io.Of("/").Broadcast("news", i, n); err != nil {
					t.Errorf("broadcast: %v", err)
				}
			}
		})
	}
	var first []string
	for i, c := range all {
		var got []string
		for range 4 * each {
			got = append(got, c.read())
		}
		if i == 0 {
			first = got
			for i := range 4 {
				for n := range each {
					require.Contains(t, got, fmt.Sprintf(`42["news",%d,%d]`, i, n))
				}
			}
		}
		require.Equal(t, first, got)
	}
	senders.Wait()
	require.NoError(t, h.io.Of("/custom").Broadcast("last"))
	require.Equal(t, `42/custom,["last"]`, other.read())
	require.ErrorIs(t, h.io.Of("/").Broadcast("connect"), socketio.ErrReserved)
}

// Who has gone is sent nothing, and holds nobody up.
func TestABroadcastIsForThoseWhoAreConnected(t *testing.T) {
	h := serve(t, calm())
	gone, s := h.connect()
	stays, _ := h.connect()
	s.Disconnect(false)
	require.Equal(t, "41", gone.read())
	require.NoError(t, h.io.Of("/").Broadcast("news"))
	require.Equal(t, `42["news"]`, stays.read())
	require.NoError(t, stays.ws.Close())
	h.end()
	h.end()
	require.NoError(t, h.io.Of("/").Broadcast("news"))
	gone.write("40")
	require.Equal(t, "40{", gone.read()[:3], "nothing came between")
}

func TestWhoHasNoRoomForABroadcastIsSentAway(t *testing.T) {
	opts := calm()
	opts.QueueLimit = 2
	h := serve(t, opts)
	url := h.url + "/socket.io/?EIO=4&transport=polling"
	res, err := http.Get(url)
	require.NoError(t, err)
	open, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	_, sid, _ := strings.Cut(string(open), `"sid":"`)
	sid, _, _ = strings.Cut(sid, `"`)
	res, err = http.Post(url+"&sid="+sid, "text/plain", strings.NewReader("40"))
	require.NoError(t, err)
	res.Body.Close()
	full := h.socket() // the answer to its CONNECT waits
	quick, _ := h.connect()
	for range 3 {
		require.NoError(t, h.io.Of("/").Broadcast("news"))
		require.Equal(t, `42["news"]`, quick.read())
	}
	require.Equal(t, end{full.ID(), engineio.TooSlow}, h.end())
}

// A handler may broadcast, and so may what is called when a socket disconnects.
func TestHandlersMayBroadcast(t *testing.T) {
	h := serve(t, calm(), func(s *socketio.Server) {
		chat := s.Of("/chat")
		chat.OnConnect(func(_ context.Context, s *socketio.Socket) { _ = chat.Broadcast("joined", s.ID()) })
		chat.OnDisconnect(func(_ context.Context, s *socketio.Socket, _ socketio.Reason) { _ = chat.Broadcast("left", s.ID()) })
	})
	first := h.dial()
	first.write("40/chat,")
	id := sidOf(t, first.read(), "40/chat,")
	require.Equal(t, fmt.Sprintf(`42/chat,["joined",%q]`, id), first.read())
	second := h.dial()
	second.write("40/chat,")
	id = sidOf(t, second.read(), "40/chat,")
	require.Equal(t, fmt.Sprintf(`42/chat,["joined",%q]`, id), first.read())
	require.NoError(t, second.ws.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(t, second.ws.Close())
	require.Equal(t, fmt.Sprintf(`42/chat,["left",%q]`, id), first.read())
}
