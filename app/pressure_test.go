package main

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// perPeer is how much one connection can make the server hold, as web/README.md says. garbage is allowed besides; it does not grow
// with the number of connections.
const (
	perPeer = 1 << 20
	garbage = 32 << 20
)

// held returns the memory of the program, without that of the race detector.
func held(m map[string]float64) float64 {
	return m["go_memstats_heap_inuse_bytes"] + m["go_memstats_stack_inuse_bytes"]
}

// pressed starts a program with a short --stall-timeout and a room with 1,000 messages of the greatest length.
func pressed(t *testing.T) *apptest.Program {
	t.Helper()
	p := apptest.Start(t, apptest.Options{Env: []string{"STALL_TIMEOUT=3s", "PING_INTERVAL=10s"}})
	ada := p.Join(t, "long", "ada")
	text := strings.Repeat("👋", 4096)
	for i := range 1000 {
		ada.Say(t, text)
		if i%50 == 49 {
			_, last := ada.Until(t, func(f apptest.Frame) bool { return f.Seq == int64(i+1) })
			require.Equal(t, text, last.Text)
		}
	}
	ada.Leave(t)
	return p
}

// bounded checks that the peers that begin starts make the program hold at most perPeer each, and that it closes all of them.
func bounded(t *testing.T, p *apptest.Program, peers int, begin func(i int), gone func(m map[string]float64) bool) {
	t.Helper()
	before := held(p.Metrics(t))
	for i := range peers {
		begin(i)
	}
	most := before
	// Writing a long history twenty times takes long on a busy machine.
	for deadline := time.Now().Add(5 * apptest.Patience); ; time.Sleep(10 * time.Millisecond) {
		m := p.Metrics(t)
		most = max(most, held(m))
		if gone(m) {
			break
		}
		require.True(t, time.Now().Before(deadline), "waiting in vain until the peers are given up")
	}
	t.Logf("%d peers: %.0f MB before, at most %.0f MB: %.2f MB each", peers, before/1e6, most/1e6, (most-before)/1e6/float64(peers))
	require.Less(t, most-before, float64(peers*perPeer+garbage))
}

// deaf opens a WebSocket that reads nothing, and sends pongs unasked.
func deaf(t *testing.T, p *apptest.Program, d apptest.Dial) {
	t.Helper()
	conn, _, err := p.Socket(d)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for conn.WriteControl(websocket.PongMessage, nil, time.Now().Add(apptest.Patience)) == nil {
			time.Sleep(200 * time.Millisecond)
		}
	}()
}

func TestWhoResumesALongHistoryAndReadsNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	p := pressed(t)
	const peers = 20
	bounded(t, p, peers, func(i int) {
		deaf(t, p, apptest.Dial{Room: "long", Client: fmt.Sprint("deaf", i), Query: url.Values{"since": {"0"}}, ReadBuffer: 4096})
	}, func(m map[string]float64) bool {
		return m[`traceroom_disconnects_total{reason="too_slow",transport="websocket"}`] == peers
	})
	require.Zero(t, participants(t, p, "long"))
	bob := p.Resume(t, "long", "bob", 0)
	require.Len(t, bob.Messages(), 1000, "who reads gets all of it")
}

func TestWhoAsksForALongListAndReadsNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	p := pressed(t)
	for _, path := range []string{"/rooms/long/messages", "/messages/chatroom/long"} {
		open := make(map[net.Conn]bool)
		bounded(t, p, 20, func(int) {
			conn, err := net.Dial("tcp", p.Addr)
			require.NoError(t, err)
			t.Cleanup(func() { conn.Close() })
			require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
			_, err = fmt.Fprintf(conn, "GET %s?limit=1000&since=0 HTTP/1.1\r\nHost: x\r\n\r\n", path)
			require.NoError(t, err)
			open[conn] = true
		}, func(map[string]float64) bool {
			for conn := range open {
				if _, err := conn.Write([]byte("\n")); err != nil { // an empty line before a request is ignored
					delete(open, conn)
				}
			}
			return len(open) == 0
		})
	}
}

func TestWhoStaysInALivelyRoomAndReadsNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	p := apptest.Start(t, apptest.Options{Env: []string{"STALL_TIMEOUT=3s", "PING_INTERVAL=10s"}})
	ada := p.Join(t, "lively", "ada")
	const peers = 20
	text := strings.Repeat("👋", 4096)
	const together, most = 10, 5000 // messages between two looks at the metrics, which cost more than they do; and in all
	said := 0
	bounded(t, p, peers, func(i int) {
		deaf(t, p, apptest.Dial{Room: "lively", Client: fmt.Sprint("deaf", i), ReadBuffer: 4096})
	}, func(m map[string]float64) bool {
		for range together {
			ada.Say(t, text)
			said++
		}
		require.Less(t, said, most)
		ada.Until(t, func(f apptest.Frame) bool { return f.Type == "message" && f.Seq == int64(said) })
		return m[`traceroom_disconnects_total{reason="too_slow",transport="websocket"}`] == peers
	})
	t.Logf("%d messages", said)
}

func TestAttachmentsThatDoNotComeAreNotWaitedFor(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	var holders []string
	for i := range 10 {
		holders = append(holders, fmt.Sprintf(`{"_placeholder":true,"num":%d}`, i))
	}
	const peers = 200
	bounded(t, p, peers, func(int) {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.Addr+"/socket.io/?EIO=4&transport=websocket", nil)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		for _, text := range []string{"40", `4510-["join",` + strings.Join(holders, ",") + `]`} {
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(text)))
		}
		for range 9 {
			_ = conn.WriteMessage(websocket.BinaryMessage, make([]byte, 60_000)) // fails after the server has closed it
		}
	}, func(m map[string]float64) bool {
		return m[`traceroom_disconnects_total{reason="parse_error",transport="socket.io"}`] == peers
	})
}
