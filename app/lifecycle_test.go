package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/app/apptest"
)

// The server starts even if the limit of rooms is reached, whichever rooms there are.
func TestItStartsWithAsManyRoomsAsThereMayBe(t *testing.T) {
	p := apptest.Start(t, apptest.Options{Args: []string{"--max-rooms", "4"}})
	require.Equal(t, http.StatusCreated, p.Do(t, http.MethodPost, "/rooms?room_id=four", nil).Status)
	require.Equal(t, http.StatusOK, p.Do(t, http.MethodDelete, "/rooms/go", nil).Status)
	require.Equal(t, http.StatusCreated, p.Do(t, http.MethodPost, "/rooms?room_id=five", nil).Status)
	p.Stop(t)
	p.Restart(t)
	require.Equal(t, http.StatusOK, p.Get(t, "/rooms/five").Status)
	require.Equal(t, http.StatusNotFound, p.Get(t, "/rooms/go").Status)
	require.Contains(t, p.Stderr(), "--max-rooms (MAX_ROOMS)", "the operator is told which limit it is")

	p = apptest.Start(t, apptest.Options{Args: []string{"--max-rooms", "1"}})
	require.Equal(t, http.StatusOK, p.Get(t, "/rooms/general").Status)
	p.Join(t, "general", "ada")
}

func TestSIGTERMDrainsWhileClientsSend(t *testing.T) {
	const clients = 12
	collector := apptest.NewCollector(t)
	p := apptest.Start(t, apptest.Options{Env: collector.Env(), Args: []string{"--trace-stdout"}})
	crowd := make([]*apptest.Client, clients)
	for i := range crowd {
		crowd[i] = p.Join(t, fmt.Sprint("room", i%3), fmt.Sprint("client", i))
	}
	var wg sync.WaitGroup
	for _, c := range crowd {
		wg.Go(func() {
			var seen tally
			for n := 0; ; n++ {
				if c.Write(apptest.Message{Type: "message", Text: fmt.Sprint(n), Ref: fmt.Sprint(n)}) != nil ||
					n%10 == 0 && c.Wait(func(frames []apptest.Frame) bool { return seen.of(frames).own >= n-10 }) != nil {
					return
				}
			}
		})
	}
	for _, c := range crowd {
		var seen tally
		require.NoError(t, c.Wait(func(frames []apptest.Frame) bool { return seen.of(frames).own > 10 }))
	}
	require.Less(t, p.Stop(t), 10*time.Second)
	wg.Wait()
	for _, c := range crowd {
		code, reason := c.Closed(t)
		require.Equal(t, 1001, code, reason)
	}
	requireSound(t, p)
	calls := pair(t, p.TraceLog(t))
	require.Equal(t, len(calls)*2, len(apptest.ParseTraceLog(t, p.Stdout())), "standard output has the same")
	require.Equal(t, clients, count(calls, "disconnect", false))
	require.Equal(t, clients, count(calls, "leave", false))
	require.Equal(t, 1, count(calls, "drain", false))
	require.Len(t, collector.Spans(), len(calls), "every span was exported")

	p.Restart(t)
	for _, c := range crowd {
		stored := map[string]bool{}
		for _, m := range p.Resume(t, c.Room, "reader", max(0, c.Messages()[len(c.Messages())-1].Seq-900)).Messages() {
			stored[m.ID] = true
		}
		for _, m := range c.Messages()[max(0, len(c.Messages())-900):] {
			require.True(t, stored[m.ID], "%s was shown a message that is not stored", c.Client)
		}
	}
}

func TestADrainingServerTakesNobodyIn(t *testing.T) {
	t.Parallel() // it mostly waits
	p := apptest.Start(t, apptest.Options{})
	// A client that does not answer the close frame delays the drain for a while.
	stubborn, _, err := p.Socket(apptest.Dial{Room: "talk", Client: "stubborn"})
	require.NoError(t, err)
	defer stubborn.Close()
	apptest.Eventually(t, "it has joined", func() bool { return p.Metrics(t)["traceroom_members"] == 1 })
	began := time.Now()
	p.Signal(t, syscall.SIGTERM)
	apptest.Eventually(t, "the server says that it drains", func() bool {
		res, err := apptest.Do(http.MethodGet, p.URL+"/readyz", nil)
		return err == nil && res.Status == http.StatusServiceUnavailable && strings.Contains(res.Body, "draining")
	})
	late, _, err := p.Socket(apptest.Dial{Room: "talk", Client: "late"})
	if err == nil {
		_, _, err = late.ReadMessage()
		require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), err)
		late.Close()
	}
	require.Zero(t, p.Wait(t))
	require.Less(t, time.Since(began), 10*time.Second)
	_, err = apptest.Do(http.MethodGet, p.URL+"/health", nil)
	require.Error(t, err)
	calls := pair(t, p.TraceLog(t))
	require.Equal(t, count(calls, "connect", false), count(calls, "disconnect", false))
}

func TestASecondSignalEndsTheProgramAtOnce(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	stubborn, _, err := p.Socket(apptest.Dial{Room: "talk", Client: "stubborn"})
	require.NoError(t, err)
	defer stubborn.Close()
	apptest.Eventually(t, "it has joined", func() bool { return p.Metrics(t)["traceroom_members"] == 1 })
	p.Signal(t, syscall.SIGTERM)
	apptest.Eventually(t, "it drains", func() bool { return strings.Contains(p.Stderr(), `"draining"`) })
	began := time.Now()
	p.Signal(t, os.Interrupt)
	require.Equal(t, 1, p.Wait(t))
	require.Less(t, time.Since(began), 2*time.Second)
}

func TestWhatCannotBeUsedStopsTheStartWithOneLine(t *testing.T) {
	taken := apptest.Shared(t).Addr
	dir := t.TempDir()
	locked := filepath.Join(dir, "no", "such", "folder", "x.db")
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600))
	for name, test := range map[string]struct {
		args, env []string
		says      []string // the flag, the value, what is accepted
	}{
		"a taken port":               {[]string{"--addr", taken}, nil, []string{"--addr", taken, "HOST:PORT", "in use"}},
		"a port that is none":        {[]string{"--addr", "127.0.0.1:x"}, nil, []string{"--addr", "127.0.0.1:x", "HOST:PORT"}},
		"an address without port":    {nil, []string{"ADDR=localhost"}, []string{"--addr", "ADDR", "localhost", "HOST:PORT"}},
		"a folder that is not":       {[]string{"--database", "sqlite://" + locked}, nil, []string{"--database", locked, "sqlite://PATH"}},
		"a file that is no database": {nil, []string{"DATABASE_URL=sqlite://" + text}, []string{"--database", "DATABASE_URL", text, "sqlite://PATH"}},
		"a folder as database":       {[]string{"--database", "sqlite://" + dir}, nil, []string{"--database", dir, "sqlite://PATH"}},
		"another database":           {[]string{"--database", "mysql://x"}, nil, []string{"--database", "mysql://x", "sqlite://PATH"}},
		"a log that cannot be":       {[]string{"--trace-log", locked}, nil, []string{"--trace-log", locked, "off"}},
		"a rate in words":            {[]string{"--send-rate", "many"}, nil, []string{"--send-rate", "many"}},
		"a rate below zero":          {[]string{"--send-rate=-1"}, nil, []string{"--send-rate", "-1", "from 0"}},
		"a rate by variable":         {nil, []string{"SEND_RATE=many"}, []string{"--send-rate", "SEND_RATE", "many"}},
		"a frame of nothing":         {[]string{"--max-frame", "1"}, nil, []string{"--max-frame", `"1"`, "from 1024"}},
		"no connections":             {[]string{"--max-connections", "0"}, nil, []string{"--max-connections", `"0"`, "from 1"}},
		"no rooms":                   {[]string{"--max-rooms", "0"}, nil, []string{"--max-rooms", `"0"`, "from 1"}},
		"no queue":                   {[]string{"--queue-length", "0"}, nil, []string{"--queue-length", `"0"`, "from 1"}},
		"a short interval":           {[]string{"--ping-interval", "1ms"}, nil, []string{"--ping-interval", "1ms", "from 100ms"}},
		"an interval in words":       {nil, []string{"PING_INTERVAL=often"}, []string{"--ping-interval", "often"}},
		"a switch in words":          {nil, []string{"TRACE_STDOUT=perhaps"}, []string{"--trace-stdout", "TRACE_STDOUT", "perhaps"}},
		"no address of Jaeger's":     {[]string{"--jaeger-ui", "localhost"}, nil, []string{"--jaeger-ui", "localhost", "http"}},
		"a sampler":                  {nil, []string{"OTEL_TRACES_SAMPLER=some"}, []string{"OTEL_TRACES_SAMPLER", "some", "always_on"}},
		"a ratio":                    {nil, []string{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=2"}, []string{"OTEL_TRACES_SAMPLER_ARG", `"2"`, "0 to 1"}},
		"an exporter":                {nil, []string{"OTEL_TRACES_EXPORTER=pigeon"}, []string{"OTEL_TRACES_EXPORTER", "pigeon"}},
		"a protocol":                 {nil, []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=pigeon"}, []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon"}},
		"an unknown flag":            {[]string{"--colour"}, nil, []string{"--colour"}},
		"an unknown command":         {[]string{"dance"}, nil, []string{"dance"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := apptest.Run(t, apptest.Options{Args: test.args, Env: test.env})
			require.Equal(t, 2, out.Code, out.Stderr)
			require.Equal(t, 1, strings.Count(out.Stderr, "\n"), out.Stderr)
			for _, want := range test.says {
				require.Contains(t, out.Stderr, want)
			}
		})
	}
}

func TestADatabaseOfAnotherProcessIsLeftAlone(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	out := apptest.Run(t, apptest.Options{Args: []string{"--database", "sqlite://" + filepath.Join(p.Dir, "traceroom.db")}})
	require.Equal(t, 2, out.Code)
	require.Contains(t, out.Stderr, "in use by another process")
	say(t, p.Join(t, "talk", "ada"), "goes on")
}

func TestHelpShowsFlagsWithTheirVariables(t *testing.T) {
	out := apptest.Run(t, apptest.Options{Args: []string{"--help"}})
	require.Zero(t, out.Code)
	for flag, env := range map[string]string{
		"--addr": "$ADDR", "--database": "$DATABASE_URL", "--trace-log": "$TRACE_LOG", "trace-stdout": "$TRACE_STDOUT",
		"--trace-text": "$TRACE_TEXT", "--jaeger-ui": "$JAEGER_UI_URL", "--send-rate": "$SEND_RATE", "--max-frame": "$MAX_FRAME",
		"--max-connections": "$MAX_CONNECTIONS", "--max-rooms": "$MAX_ROOMS", "--queue-length": "$QUEUE_LENGTH",
		"--ping-interval": "$PING_INTERVAL",
	} {
		require.Contains(t, out.Stdout, flag)
		require.Contains(t, out.Stdout, env)
	}
}

func TestAStoppedServerLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	s := &serve{
		Addr: "127.0.0.1:0", Database: "sqlite://" + filepath.Join(dir, "traceroom.db"), TraceLog: "off", TraceStdout: true,
		MaxFrame: 1 << 16, MaxConnections: 10, MaxRooms: 10, QueueLength: 64, QueueBytes: 1 << 19, PingInterval: time.Second, StallTimeout: time.Minute,
	}
	said := &buffer{}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, &streams{said, said}) }()
	var addr string
	apptest.Eventually(t, "it listens", func() bool { addr = said.listening(); return addr != "" })
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws/talk/ada", nil)
	require.NoError(t, err)
	require.NoError(t, conn.WriteJSON(apptest.Message{Type: "message", Text: "hello"}))
	for f := (apptest.Frame{}); f.Type != "message"; { // after the history
		require.NoError(t, conn.ReadJSON(&f))
	}
	stop()
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), err)
	conn.Close()
	require.NoError(t, <-ended)
	goleak.VerifyNone(t, before)
}

// buffer collects the output of a server. Any goroutine may use it.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// listening returns the address that the server has reported.
func (b *buffer) listening() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, rest, _ := strings.Cut(b.text.String(), `"addr":"`)
	addr, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return ""
	}
	return addr
}
