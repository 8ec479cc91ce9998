package wstest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for what must come.
const Patience = 20 * time.Second

var mask = [4]byte{0x12, 0x34, 0x56, 0x78}

// Masked returns the key of a mask and the masked payload.
func Masked(payload string) string {
	b := append([]byte(nil), mask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

// Header returns the beginning of a frame, up to its mask, with the length in the form 126 or 127.
func Header(first byte, form, length int) string {
	b := []byte{first, 0x80 | byte(form)}
	if form == 126 {
		return string(binary.BigEndian.AppendUint16(b, uint16(length)))
	}
	return string(binary.BigEndian.AppendUint64(b, uint64(length)))
}

// Frame returns a client's frame. first is its first byte: the opcode and the bits before it.
func Frame(first byte, payload string) string {
	switch n := len(payload); {
	case n < 126:
		return string([]byte{first, 0x80 | byte(n)}) + Masked(payload)
	case n < 1<<16:
		return Header(first, 126, n) + Masked(payload)
	default:
		return Header(first, 127, n) + Masked(payload)
	}
}

// Conn is a client's connection.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// Request returns a request that opens a WebSocket.
func Request(path string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
}

// Ask sends a request and returns the answer to it. The connection is closed at the end of the test.
func Ask(t *testing.T, addr, request string) (*Conn, *http.Response) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(Patience)))
	_, err = io.WriteString(nc, request)
	require.NoError(t, err)
	c := &Conn{nc, bufio.NewReader(nc)}
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	return c, res
}

// Dial opens a WebSocket.
func Dial(t *testing.T, addr, path string) *Conn {
	t.Helper()
	c, res := Ask(t, addr, Request(path))
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	return c
}

// Next returns the next frame. The error says so if it is not one that a server may write.
func (c *Conn) Next() (m Message, err error) {
	head := make([]byte, 10)
	if _, err := io.ReadFull(c.r, head[:2]); err != nil {
		return m, err
	}
	n, least := uint64(head[1]), uint64(0)
	switch head[1] {
	case 126:
		_, err = io.ReadFull(c.r, head[2:4])
		n, least = uint64(binary.BigEndian.Uint16(head[2:])), 126
	case 127:
		_, err = io.ReadFull(c.r, head[2:10])
		n, least = binary.BigEndian.Uint64(head[2:]), 1<<16
	}
	if err != nil {
		return m, err
	}
	if head[0]&0xf0 != Final || n < least || n > 1<<30 {
		return m, fmt.Errorf("a server must not write the header %x", head)
	}
	p := make([]byte, n)
	_, err = io.ReadFull(c.r, p)
	return Message{head[0] & 0x0f, string(p)}, err
}

// Play plays the case on c. answer reports whether a frame with data is an answer to one of the case's messages; others are
// ignored. With echo each answer must be what was sent.
func (s Case) Play(t *testing.T, c *Conn, echo bool, answer func(Message) bool) {
	t.Helper()
	send, heard, code := s.Send, s.Heard, s.Close
	next := func() Message {
		t.Helper()
		for {
			m, err := c.Next()
			require.NoError(t, err)
			if m.Op == Close || m.Op == Pong || m.Op != Ping && answer(m) {
				return m
			}
		}
	}
	answered := func(heard Message) {
		t.Helper()
		if heard.Op == Pong {
			return
		}
		m := next()
		if heard.Op == Ping {
			require.Equal(t, Message{Pong, heard.Payload}, m)
			return
		}
		require.Contains(t, []byte{Text, Binary}, m.Op)
		if echo && heard != m { // which can be long
			require.Equal(t, len(heard.Payload), len(m.Payload))
			require.Fail(t, "another message came back")
		}
	}
	switch {
	case code == 0:
		send, code = append(send[:len(send):len(send)], closeFrame(1000, "")), 1000
	case len(heard) > 0 && send[0] == whole(heard[0]):
		// A server may drop what waits for a client that breaks the protocol.
		_, err := io.WriteString(c, send[0])
		require.NoError(t, err)
		answered(heard[0])
		send, heard = send[1:], heard[1:]
	}
	written := make(chan error, 1)
	go func() {
		for _, p := range send {
			if _, err := io.WriteString(c, p); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for _, m := range heard {
		answered(m)
	}
	m := next()
	require.Equal(t, Close, m.Op, "%q", m.Payload)
	if code == NoStatus {
		require.Empty(t, m.Payload)
	} else {
		require.GreaterOrEqual(t, len(m.Payload), 2)
		require.Equal(t, code, int(binary.BigEndian.Uint16([]byte(m.Payload))), m.Payload[2:])
	}
	require.NoError(t, <-written, "the connection was reset")
	if s.Close == 0 || s.ByClient {
		_, err := c.r.ReadByte()
		require.Equal(t, io.EOF, err)
		return
	}
	c.Ended(t)
}

// Ended checks that the server has sent a FIN, though the client has not closed the connection, and still takes what the client
// sends: it has neither waited for the client to close nor reset the connection.
func (c *Conn) Ended(t *testing.T) {
	t.Helper()
	_, err := c.r.ReadByte()
	require.Equal(t, io.EOF, err)
	// A reset shows at the write after the one that it answers.
	for range 8 {
		_, err = io.WriteString(c, strings.Repeat("\xff", 64<<10))
		require.NoError(t, err, "the connection was reset")
	}
}

// Refused returns requests that are no handshake of version 13, with the status that they must be answered with.
func Refused(path string) map[string]struct {
	Request string
	Status  int
} {
	type refused = struct {
		Request string
		Status  int
	}
	edit := func(old, replacement string) string {
		return strings.Replace(Request(path), old, replacement, 1)
	}
	const key, version = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "Sec-WebSocket-Version: 13\r\n"
	return map[string]refused{
		"HTTP/1.0":           {edit("HTTP/1.1", "HTTP/1.0"), http.StatusBadRequest},
		"two keys":           {edit(key, key+key), http.StatusBadRequest},
		"no key":             {edit(key, ""), http.StatusBadRequest},
		"a short key":        {edit("AAAA==", "=="), http.StatusBadRequest},
		"version 8":          {edit("Version: 13", "Version: 8"), http.StatusUpgradeRequired},
		"version 130":        {edit("Version: 13", "Version: 130"), http.StatusUpgradeRequired},
		"two versions":       {edit(version, version+"Sec-WebSocket-Version: 8\r\n"), http.StatusUpgradeRequired},
		"a list of versions": {edit("Version: 13", "Version: 8, 13"), http.StatusUpgradeRequired},
		"no version":         {edit(version, ""), http.StatusBadRequest},
	}
}
