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

// perPeer is what one connection can have the server hold, as the README says; garbage is what there may be besides, which
// does not grow with the connections.
const (
	perPeer = 1 << 20
	garbage = 32 << 20
)

// held is the memory that the program has taken, without what the race detector takes.
func held(m map[string]float64) float64 {
	return m["go_memstats_heap_inuse_bytes"] + m["go_memstats_stack_inuse_bytes"]
}

// pressed starts a program that gives up soon on who takes nothing, and has a room of 1,000 messages as long as there may be.
func pressed(t *testing.T) *apptest.Program {
	t.Helper()
	p := apptest.Start(t, apptest.Options{Env: []string{"STALL_TIMEOUT=3s", "PING_INTERVAL=1s"}})
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

// bounded sees to it that peers who were begun by begin have the program hold no more than there may be for each, and that it
// gives up on all of them.
func bounded(t *testing.T, p *apptest.Program, peers int, begin func(i int), gone func(m map[string]float64) bool) {
	t.Helper()
	before := held(p.Metrics(t))
	for i := range peers {
		begin(i)
	}
	most := before
	// Twenty times a long history is much to write where the machine has other things to do.
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

// deaf opens a WebSocket that takes nothing, and answers pings without being asked.
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
	t.Parallel() // it waits most of the time
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
	t.Parallel() // it waits most of the time
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
				if _, err := conn.Write([]byte("\n")); err != nil { // which is nothing before a request
					delete(open, conn)
				}
			}
			return len(open) == 0
		})
	}
}

func TestWhoStaysInALivelyRoomAndReadsNothing(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := apptest.Start(t, apptest.Options{Env: []string{"STALL_TIMEOUT=3s", "PING_INTERVAL=1s"}})
	ada := p.Join(t, "lively", "ada")
	const peers = 20
	text, said := strings.Repeat("👋", 4096), 0
	bounded(t, p, peers, func(i int) {
		deaf(t, p, apptest.Dial{Room: "lively", Client: fmt.Sprint("deaf", i), ReadBuffer: 4096})
	}, func(m map[string]float64) bool {
		ada.Say(t, text)
		ada.UntilType(t, "message")
		said++
		require.Less(t, said, 5000)
		return m[`traceroom_disconnects_total{reason="too_slow",transport="websocket"}`] == peers
	})
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
			_ = conn.WriteMessage(websocket.BinaryMessage, make([]byte, 60_000)) // fails when it has been closed
		}
	}, func(m map[string]float64) bool {
		return m[`traceroom_disconnects_total{reason="parse_error",transport="socket.io"}`] == peers
	})
}
