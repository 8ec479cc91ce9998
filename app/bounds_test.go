package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

// send sends head, a request line with headers, and returns the status of the answer, or 0 if the server closed the connection
// while the request was being written and the answer was lost.
func send(t *testing.T, p *apptest.Program, head string) int {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(apptest.Patience)))
	_, _ = conn.Write([]byte(head)) // the server need not read it all
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}

// get returns the head of a request with the given total size, most of it in one header.
func get(target string, size int) string {
	head := "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: "
	return head + strings.Repeat("x", size-len(head)-4) + "\r\n\r\n"
}

func TestHeadersAreBounded(t *testing.T) {
	p := apptest.Shared(t)
	require.Equal(t, http.StatusOK, send(t, p, get("/health", maxHeader)))
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, send(t, p, get("/health", maxHeader+1)))
	require.Equal(t, http.StatusRequestURITooLong, send(t, p, get("/rooms/"+strings.Repeat("x", 1000), maxHeader)))
}

// Requests that are too long are refused, and nothing of them stays in memory.
func TestLongRequestsLeaveNothingBehind(t *testing.T) {
	// Without the heap floor memory shows what is kept, and little garbage.
	p := apptest.Start(t, apptest.Options{Env: []string{"GOGC=100"}})
	inUse := func() float64 { return held(p.Metrics(t)) }
	for range 100 {
		require.Equal(t, http.StatusOK, send(t, p, get("/rooms", maxHeader)))
	}
	before := inUse()
	long := strings.Repeat("x", 900_000)
	for i := range 600 {
		target := "/rooms/" + long
		if i%2 == 0 {
			target = "/ws/" + long + "/x"
		}
		status := send(t, p, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.Contains(t, []int{0, http.StatusRequestHeaderFieldsTooLarge}, status)
	}
	t.Logf("%.1f MiB before, %.1f MiB after what is refused", before/(1<<20), inUse()/(1<<20))
	// As long as the server accepts, in everything that observers could keep.
	filled := strings.Repeat("x", 2500)
	for i := range 600 {
		target := []string{"/rooms/" + filled[:200], "/ws/" + filled[:200] + "/x", "/" + filled[:200], "/rooms/" + filled}[i%4]
		status := send(t, p, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nX-Forwarded-For: %s, 10.0.0.1\r\ntracestate: a=%s\r\nConnection: close\r\n\r\n",
			target, filled+fmt.Sprint(i), filled, filled, filled))
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusNotFound, http.StatusRequestURITooLong}, status)
	}
	apptest.Eventually(t, "no more memory than before, but for 16 MiB", func() bool { return inUse() <= before+16<<20 })
	metrics := p.Metrics(t)
	require.EqualValues(t, 150, metrics[`traceroom_refused_total{reason="request_too_long"}`])
	for series := range metrics {
		require.Less(t, len(series), 1000, "a series names what a client chose")
	}
	t.Logf("%.1f MiB after what passes", inUse()/(1<<20))
}
