package ws_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/web/ws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 64 << 10

// got is one thing that a Reader returned.
type got struct {
	op      ws.Op
	payload string
}

// readAll reads until the end.
func readAll(r *ws.Reader) (all []got, err error) {
	for {
		op, p, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, got{op, string(p)})
	}
}

// frame is a client's frame. first has the bits besides the opcode, too.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = append(b, 0x80|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	key := [4]byte{0x12, 0x34, 0x56, 0x78}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

const fin = 0x80

// tcp returns the two ends of a connection on loopback.
func tcp(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func pipe(t testing.TB) (server, client net.Conn) {
	t.Helper()
	server, client = net.Pipe()
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

// onBoth runs a test over a socket and over a connection that is none.
func onBoth(t *testing.T, test func(t *testing.T, server, client net.Conn)) {
	t.Helper()
	t.Run("socket", func(t *testing.T) { server, client := tcp(t); test(t, server, client) })
	t.Run("no socket", func(t *testing.T) { server, client := pipe(t); test(t, server, client) })
}

// speech is frames of all kinds and sizes, and what they say.
func speech() (stream []byte, want []got) {
	for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 4000, 4096, 5000, limit - 1, limit} {
		text := strings.Repeat("é.", n)[:n]
		stream = append(stream, frame(fin|byte(ws.Text), text)...)
		want = append(want, got{ws.Text, text})
	}
	for _, f := range []struct {
		first   byte
		payload string
	}{
		{fin | byte(ws.Ping), "are you there?"}, {byte(ws.Text), "in "}, {0, ""}, {0, strings.Repeat("three ", 1000)},
		{fin | byte(ws.Pong), "yes"}, {fin, "parts"}, {byte(ws.Text), ""}, {fin, ""},
		{fin | byte(ws.Binary), "\x00\xff"}, {fin | byte(ws.Close), "\x03\xe8bye"},
	} {
		stream = append(stream, frame(f.first, f.payload)...)
	}
	return stream, append(want, got{ws.Ping, "are you there?"}, got{ws.Pong, "yes"},
		got{ws.Text, "in " + strings.Repeat("three ", 1000) + "parts"}, got{ws.Text, ""},
		got{ws.Binary, "\x00\xff"}, got{ws.Close, "\x03\xe8bye"})
}

func TestWhatIsSentTogetherIsReadFrameByFrame(t *testing.T) {
	onBoth(t, func(t *testing.T, server, client net.Conn) {
		stream, want := speech()
		go func() { _, _ = client.Write(stream); client.Close() }()
		all, err := readAll(ws.NewReader(server, limit))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, all)
	})
}

func TestWhatArrivesByteByByteIsReadFrameByFrame(t *testing.T) {
	onBoth(t, func(t *testing.T, server, client net.Conn) {
		stream, want := speech()
		go func() { _, _ = io.Copy(client, iotest.OneByteReader(bytes.NewReader(stream))); client.Close() }()
		all, err := readAll(ws.NewReader(server, limit))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, all)
	})
}

func TestATornFrameIsWhole(t *testing.T) {
	stream := append(frame(byte(ws.Text), "one"), frame(fin|byte(ws.Ping), "p")...)
	stream = append(append(stream, frame(fin, " whole")...), frame(fin|byte(ws.Text), strings.Repeat("x", 200))...)
	want := []got{{ws.Ping, "p"}, {ws.Text, "one whole"}, {ws.Text, strings.Repeat("x", 200)}}
	for at := range stream {
		server, client := pipe(t)
		go func() {
			_, _ = client.Write(stream[:at])
			_, _ = client.Write(stream[at:])
			client.Close()
		}()
		all, err := readAll(ws.NewReader(server, limit))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, all, "torn after %d bytes", at)
	}
}

func TestEachFrameIsReadAsItComes(t *testing.T) {
	onBoth(t, func(t *testing.T, server, client net.Conn) {
		r := ws.NewReader(server, limit)
		heard := make(chan got)
		done := make(chan error)
		go func() {
			for {
				op, p, err := r.Next()
				if err != nil {
					done <- err
					return
				}
				heard <- got{op, string(p)}
			}
		}()
		for i := range 1000 {
			text := fmt.Sprint("message ", i)
			_, err := client.Write(frame(fin|byte(ws.Text), text))
			require.NoError(t, err)
			require.Equal(t, got{ws.Text, text}, <-heard)
			if i%100 == 0 {
				runtime.GC() // takes what the pools hold
			}
		}
		client.Close()
		require.ErrorIs(t, <-done, io.EOF)
	})
}

func TestHowReadingEnds(t *testing.T) {
	text := frame(fin|byte(ws.Text), "last words")
	for name, test := range map[string]struct {
		stream []byte
		want   error
	}{
		"at once":                        {nil, io.EOF},
		"after a message":                {text, io.EOF},
		"within a header":                {append(text, text[:1]...), io.ErrUnexpectedEOF},
		"within a payload":               {append(text, text[:9]...), io.ErrUnexpectedEOF},
		"between the parts of a message": {append(text, frame(byte(ws.Text), "part")...), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, server, client net.Conn) {
				go func() { _, _ = client.Write(test.stream); client.Close() }()
				all, err := readAll(ws.NewReader(server, limit))
				require.Equal(t, test.want, err)
				if test.stream != nil {
					require.Equal(t, []got{{ws.Text, "last words"}}, all)
				}
			})
		})
	}
	t.Run("reset", func(t *testing.T) {
		server, client := tcp(t)
		require.NoError(t, client.(*net.TCPConn).SetLinger(0))
		client.Close()
		_, err := readAll(ws.NewReader(server, limit))
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
	})
	t.Run("deadline", func(t *testing.T) {
		onBoth(t, func(t *testing.T, server, _ net.Conn) {
			require.NoError(t, server.SetReadDeadline(time.Now().Add(time.Millisecond)))
			_, err := readAll(ws.NewReader(server, limit))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		})
	})
	t.Run("closed while it waits", func(t *testing.T) {
		server, client := tcp(t)
		r := ws.NewReader(server, limit)
		_, err := client.Write(text)
		require.NoError(t, err)
		_, _, err = r.Next()
		require.NoError(t, err)
		done := make(chan error)
		go func() { _, _, err := r.Next(); done <- err }()
		server.Close()
		require.ErrorIs(t, <-done, net.ErrClosed)
	})
}

func TestWhoBreaksTheProtocolIsNotHeard(t *testing.T) {
	open := frame(byte(ws.Text), "part")
	for name, stream := range map[string][]byte{
		"reserved bit":               frame(fin|0x40|byte(ws.Text), "x"),
		"no mask":                    {fin | byte(ws.Text), 1, 'x'},
		"unknown opcode":             frame(fin|0x3, "x"),
		"unknown control frame":      frame(fin|0xB, "x"),
		"ping in fragments":          frame(byte(ws.Ping), "x"),
		"long ping":                  frame(fin|byte(ws.Ping), strings.Repeat("x", 126)),
		"continuation of nothing":    frame(fin, "x"),
		"continuation of the last":   append(append(open, frame(fin, "x")...), frame(fin, "x")...),
		"message within a message":   append(open, frame(fin|byte(ws.Text), "x")...),
		"message within a message 2": append(open, frame(byte(ws.Binary), "x")...),
	} {
		t.Run(name, func(t *testing.T) {
			server, client := tcp(t)
			_, err := client.Write(stream)
			require.NoError(t, err)
			all, err := readAll(ws.NewReader(server, limit))
			var broke ws.ProtocolError
			require.ErrorAs(t, err, &broke)
			require.NotEmpty(t, broke.Error())
			for _, g := range all {
				require.Equal(t, "partx", g.payload)
			}
		})
	}
}

func TestAMessageOverTheLimitIsNotWaitedFor(t *testing.T) {
	long := strings.Repeat("x", limit)
	for name, stream := range map[string][]byte{
		"one frame":       frame(fin|byte(ws.Text), long+"x")[:14],
		"fragments":       append(frame(byte(ws.Text), long), frame(fin, "x")...),
		"empty first":     append(frame(byte(ws.Text), ""), frame(fin, long+"x")[:14]...),
		"as much as fits": {fin | byte(ws.Text), fin | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := tcp(t)
			go func() { _, _ = client.Write(stream) }()
			all, err := readAll(ws.NewReader(server, limit))
			require.ErrorIs(t, err, ws.ErrTooLong)
			require.Empty(t, all)
		})
	}
}

func TestACloseFrameSaysWhy(t *testing.T) {
	for payload, want := range map[string]struct {
		code   int
		reason string
	}{"": {1005, ""}, "\x03\xe8": {1000, ""}, "\x0f\xa1gone é": {4001, "gone é"}} {
		code, reason, err := ws.ParseClose([]byte(payload))
		require.NoError(t, err)
		require.Equal(t, want.code, code)
		require.Equal(t, want.reason, reason)
	}
	for _, payload := range []string{"\x03", "\x00\x00", "\x03\xe7", "\x03\xed", "\x03\xf7", "\x13\x88"} {
		_, _, err := ws.ParseClose([]byte(payload))
		var broke ws.ProtocolError
		require.True(t, errors.As(err, &broke), "%q", payload)
	}
	_, _, err := ws.ParseClose([]byte("\x03\xe8\xc3("))
	require.ErrorIs(t, err, ws.ErrNotUTF8)
}

// A client that said much, and then nothing, costs what one costs that never said anything.
func TestWhoSaysNothingHoldsNoBuffer(t *testing.T) {
	const conns, most = 200, 1500 // bytes of heap each
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // the pools' second generation
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	text := frame(fin|byte(ws.Text), strings.Repeat("x", limit))
	heard := make(chan struct{})
	servers := make([]net.Conn, conns)
	clients := make([]net.Conn, conns)
	for i := range conns {
		servers[i], clients[i] = tcp(t)
	}
	before := heap()
	for i, server := range servers {
		r := ws.NewReader(server, limit)
		go func() {
			for {
				if _, _, err := r.Next(); err != nil {
					return
				}
				heard <- struct{}{}
			}
		}()
		_, err := clients[i].Write(text)
		require.NoError(t, err)
		<-heard
	}
	require.Eventually(t, func() bool { return heap() < before+conns*most }, 10*time.Second, time.Millisecond)
	for _, c := range clients {
		c.Close()
	}
}

func BenchmarkNext(b *testing.B) {
	server, client := tcp(b)
	const together = 16
	stream := bytes.Repeat(frame(fin|byte(ws.Text), strings.Repeat("x", 100)), together)
	r := ws.NewReader(server, limit)
	b.SetBytes(int64(len(stream) / together))
	b.ReportAllocs()
	for i := 0; i < b.N; i += together {
		if _, err := client.Write(stream); err != nil {
			b.Fatal(err)
		}
		for range together {
			if _, _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
