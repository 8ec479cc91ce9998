package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
	"github.com/traceroom/traceroom/tracing/inspect"
)

// stopTime is how long stopping may take: after it operators kill the process.
const stopTime = 10 * time.Second

func TestAServerStopsWhilePostgreSQLDoesNotAnswer(t *testing.T) {
	server := pgtest.Start(t)
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: append(collector.Env(), "DATABASE_URL="+server.Database(t))})
	const clients = 10
	crowd := make([]*apptest.Client, clients)
	for i := range crowd {
		crowd[i] = p.Join(t, fmt.Sprint("room", i%2), fmt.Sprint("client", i))
		say(t, crowd[i], "stored")
	}
	server.Pause()
	for _, c := range crowd {
		for n := range 5 {
			c.Send(t, apptest.Message{Type: "message", Text: "in doubt", Ref: fmt.Sprint(n)})
		}
	}
	waiting := make(chan error, 8)
	for i := range cap(waiting) / 2 {
		go func() {
			// It is connected, and joins after all of that.
			conn, _, err := p.Socket(apptest.Dial{Room: "room0", Client: fmt.Sprint("late", i)})
			if err == nil {
				_, _, err = conn.ReadMessage()
				_ = conn.Close()
			}
			waiting <- err
		}()
		go func() {
			res, err := apptest.Do(http.MethodGet, p.URL+"/rooms/room1/messages", nil)
			if err == nil && res.Status == http.StatusOK {
				err = errors.New("answered without the store")
			} else {
				err = nil
			}
			waiting <- err
		}()
	}
	apptest.Eventually(t, "they wait for the store", func() bool {
		return strings.Count(string(mustRead(t, p)), `"event":"ENTER","thread":"http","module":"http","function":"GET /rooms/{room_id}/messages`) == cap(waiting)/2
	})
	require.Less(t, p.Stop(t), stopTime)
	for _, c := range crowd {
		code, reason := c.Closed(t)
		require.Equal(t, websocket.CloseGoingAway, code, reason)
		for _, f := range c.Frames() {
			require.NotEqual(t, "in doubt", f.Text, "an acknowledgement of what is not stored")
		}
	}
	for range cap(waiting) {
		if err := <-waiting; err != nil {
			require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), err)
		}
	}
	requireSound(t, p)
	calls := pair(t, p.TraceLog(t))
	require.Equal(t, 1, count(calls, "drain", false))
	require.Len(t, collector.Spans(), len(calls), "every span was exported")
}

// mustRead reads the program's trace log so far.
func mustRead(t *testing.T, p *apptest.Program) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Dir, "traceroom.jsonl"))
	require.NoError(t, err)
	return text
}

// Nobody reads standard output: the chat goes on, the file has all lines, and the lines that standard output loses are counted
// and, when somebody reads again, marked in their place. The server stops as always.
func TestAServerGoesOnAndStopsWhileNobodyReadsItsOutput(t *testing.T) {
	const lost = `traceroom_trace_lines_lost_total{sink="stdout"}`
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("read again %v", again), func(t *testing.T) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			defer r.Close()
			p := apptest.Start(t, apptest.Options{Args: []string{"--trace-stdout"}, Stdout: w})
			require.NoError(t, w.Close())
			c := p.Join(t, "talk", "ada")
			for sent := 0; p.Metrics(t)[lost] == 0; sent += 200 {
				require.Less(t, sent, 20_000, "no line is lost")
				for n := range 200 {
					c.Say(t, fmt.Sprint(sent+n))
				}
				c.UntilText(t, fmt.Sprint(sent+199))
			}
			require.Equal(t, http.StatusOK, p.Get(t, "/health").Status)
			require.Zero(t, p.Metrics(t)[`traceroom_trace_lines_lost_total{sink="file"}`])
			var read bytes.Buffer
			ended := make(chan error, 1)
			if again {
				go func() { _, err := read.ReadFrom(r); ended <- err }()
				// Everything is read once no more lines are lost.
				apptest.Eventually(t, "standard output takes lines again", func() bool {
					before := p.Metrics(t)[lost]
					say(t, c, "more")
					return strings.Contains(p.Stderr(), "the trace log is written again") && p.Metrics(t)[lost] == before
				})
				say(t, c, "the last")
			}
			require.Less(t, p.Stop(t), stopTime)
			requireSound(t, p)
			if !again {
				require.Contains(t, p.Stderr(), "lines of the trace log are lost")
				return
			}
			require.NoError(t, <-ended)
			marks := 0
			scan := bufio.NewScanner(&read)
			var text bytes.Buffer
			for scan.Scan() {
				var l struct {
					Event string
					Lines int64
				}
				require.NoError(t, json.Unmarshal(scan.Bytes(), &l))
				if l.Event == "LOST" {
					marks++
					require.Positive(t, l.Lines)
				}
				fmt.Fprintf(&text, "%s\n", scan.Bytes())
			}
			require.Positive(t, marks)
			report, err := inspect.Check(t.Context(), &text, inspect.CheckOptions{MaxProblems: 10})
			require.NoError(t, err)
			require.Empty(t, report.Problems)
			require.Positive(t, report.Lost)
		})
	}
}

func TestAServerStopsWhilePeersReadNothing(t *testing.T) {
	const peers = 50
	// Their connections stay open with unread data.
	p := apptest.Start(t, apptest.Options{Args: []string{"--queue-bytes", "16777216", "--stall-timeout", "1m"}})
	for i := range peers {
		var conn *websocket.Conn
		var err error
		if i%5 == 0 {
			d := websocket.Dialer{NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err == nil {
					err = c.(*net.TCPConn).SetReadBuffer(4096)
				}
				return c, err
			}}
			conn, _, err = d.Dial("ws://"+p.Addr+"/socket.io/?EIO=4&transport=websocket", nil)
			require.NoError(t, err)
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("40")))
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `42["join",{"room_id":"talk","client_id":"peer%d"}]`, i)))
		} else {
			conn, _, err = p.Socket(apptest.Dial{Room: "talk", Client: fmt.Sprint("peer", i), ReadBuffer: 4096})
			require.NoError(t, err)
		}
		defer conn.Close()
	}
	apptest.Eventually(t, "all have joined", func() bool { return p.Metrics(t)["traceroom_members"] == peers })
	c := p.Join(t, "talk", "ada")
	text := strings.Repeat("👋", 4000)
	for n := range 400 {
		c.Say(t, text+fmt.Sprint(n))
	}
	c.UntilText(t, text+"399")
	require.Equal(t, float64(peers+1), p.Metrics(t)["traceroom_members"], "nobody was sent away before")
	require.Less(t, p.Stop(t), stopTime)
	requireSound(t, p)
	calls := pair(t, p.TraceLog(t))
	require.Equal(t, peers+1, count(calls, "leave", false))
	require.Equal(t, peers+1, count(calls, "disconnect", false))
}

func TestTwoServersDoNotWriteOneTraceLog(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	out := apptest.Run(t, apptest.Options{Args: []string{"--trace-log", filepath.Join(p.Dir, "traceroom.jsonl")}})
	require.Equal(t, 2, out.Code)
	require.Contains(t, out.Stderr, "--trace-log (TRACE_LOG)")
	require.Contains(t, out.Stderr, "in use by another process")
	require.Equal(t, 1, strings.Count(out.Stderr, "\n"), out.Stderr)
	p.Kill(t)
	p.Restart(t)
}

// A log that a kill has cut short is continued after its partial line, and is valid.
func TestALogThatAKillHasTornIsContinued(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	c := p.Join(t, "talk", "ada")
	apptest.Eventually(t, "something is written", func() bool {
		say(t, c, "hello")
		return len(mustRead(t, p)) > 0
	})
	p.Kill(t)
	path := filepath.Join(p.Dir, "traceroom.jsonl")
	text := mustRead(t, p)
	require.NoError(t, os.WriteFile(path, text[:len(text)-40], 0o600))
	p.Restart(t)
	say(t, p.Join(t, "talk", "bob"), "hello again")
	p.Signal(t, syscall.SIGTERM)
	require.Zero(t, p.Wait(t))
	text = mustRead(t, p)
	report, err := inspect.Check(t.Context(), bytes.NewReader(text), inspect.CheckOptions{MaxProblems: 10})
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	out := apptest.Run(t, apptest.Options{Args: []string{"inspect", "check", path}})
	require.Zero(t, out.Code, out.Stdout+out.Stderr)
	require.Contains(t, out.Stdout, "killed")
}

// A part that does not end in its time is left behind and named.
func TestStoppingLeavesBehindWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, said := observer.New(zap.WarnLevel)
		stop := &stopping{log: zap.New(core)}
		began := time.Now()
		release := make(chan struct{})
		for _, part := range []struct {
			name string
			by   time.Duration
		}{{"store", stopStore}, {"telemetry", stopTelemetry}, {"trace log", stopTraceLog}} {
			require.NoError(t, stop.part(part.name, part.by, func(ctx context.Context) error {
				<-ctx.Done()
				<-release
				return errors.New("too late")
			}))
			require.Equal(t, part.name, said.TakeAll()[0].ContextMap()["part"])
		}
		require.Less(t, time.Since(began), stopTime)
		close(release)
		broken := errors.New("broken")
		stop = &stopping{log: zap.New(core)}
		require.ErrorIs(t, stop.part("another", stopTraceLog, func(context.Context) error { return broken }), broken)
	})
}
