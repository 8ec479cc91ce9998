package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// tight is a listener whose connections have small buffers: what a peer takes shows at once.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

// listen serves h on loopback and returns a connection to it.
func listen(t *testing.T, stall time.Duration, h http.Handler) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(Listener(tight{l}, stall)) }()
	t.Cleanup(func() { server.Close(); <-done })
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

const answerBytes = 32 << 20

// answering writes a long answer, and tells how that ended.
func answering(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for left := answerBytes; left > 0 && err == nil; left -= 1 << 20 {
			_, err = w.Write(make([]byte, 1<<20))
		}
		ended <- err
	}
}

func TestWhoDoesNotReadAnAnswerIsCutOff(t *testing.T) {
	ended := make(chan error, 1)
	c := listen(t, 50*time.Millisecond, answering(ended))
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	require.Error(t, <-ended)
}

// Who reads slowly, or whose answer takes long to be made, has as much time as that takes.
func TestWhoReadsAnAnswerSlowlyGetsAllOfIt(t *testing.T) {
	ended := make(chan error, 1)
	const stall = 500 * time.Millisecond
	c := listen(t, stall, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(2 * stall)
		answering(ended)(w, r)
	}))
	for range 2 { // of one connection
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		began := time.Now()
		var n int64
		for n < answerBytes && time.Since(began) < 3*stall {
			m, err := io.CopyN(io.Discard, res.Body, 64<<10)
			require.NoError(t, err)
			n += m
			time.Sleep(stall / 20)
		}
		m, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.EqualValues(t, answerBytes, n+m)
		require.NoError(t, <-ended)
	}
}

// What is announced and does not come is not waited for, whether it is read or not.
func TestABodyThatDoesNotComeIsNotWaitedFor(t *testing.T) {
	limits := DefaultLimits
	limits.Stall = 100 * time.Millisecond
	s := New(Config{Service: brokenRooms{}, Page: http.NotFoundHandler(), Metrics: http.NotFoundHandler(), Log: zap.NewNop(), Limits: limits})
	t.Cleanup(s.Close)
	t.Cleanup(func() { s.Drain(t.Context()) })
	for _, request := range []string{"GET /health", "POST /nowhere", "DELETE /rooms/general", "GET /", "POST /socket.io/?EIO=4&transport=polling&sid=none"} {
		c := listen(t, limits.Stall, s.Handler())
		_, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", request)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err = io.Copy(io.Discard, c)
		require.NoError(t, err, "%s: the connection stays", request)
	}
}
