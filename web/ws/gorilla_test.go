package ws_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/ws"
)

// stream is a connection on which all has been said.
type stream struct {
	net.Conn // nil: what it does is not used
	*bytes.Reader
}

func (s stream) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (s stream) Write(p []byte) (int, error)    { return len(p), nil }
func (stream) Close() error                     { return nil }
func (stream) SetDeadline(time.Time) error      { return nil }
func (stream) SetWriteDeadline(time.Time) error { return nil }

// hijacked is a ResponseWriter that hands conn over.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// byGorilla reads as the other implementation does, up to the first close frame.
func byGorilla(t *testing.T, p []byte) (all []got, err error) {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	for k, v := range map[string]string{"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		req.Header.Set(k, v)
	}
	conn, err := (&websocket.Upgrader{ReadBufferSize: 512}).Upgrade(hijacked{httptest.NewRecorder(), stream{nil, bytes.NewReader(p)}}, req, nil)
	require.NoError(t, err)
	conn.SetReadLimit(limit)
	conn.SetPingHandler(func(s string) error { all = append(all, got{ws.Ping, s}); return nil })
	conn.SetPongHandler(func(s string) error { all = append(all, got{ws.Pong, s}); return nil })
	conn.SetCloseHandler(func(int, string) error { return errClosed })
	for {
		op, p, err := conn.ReadMessage()
		if err != nil {
			return all, err
		}
		all = append(all, got{ws.Op(op), string(p)})
	}
}

var errClosed = errors.New("close frame")

func FuzzNextAgreesWithGorilla(f *testing.F) {
	all, _ := speech()
	f.Add(all[:2000])
	f.Add(all[len(all)-7000:])
	for _, p := range []string{"", "a", strings.Repeat("long ", 200)} {
		for _, first := range []byte{0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88, 0xC1, 0x83} {
			f.Add(append(frame(first, p), frame(0x80, p)...))
			f.Add(append(append(frame(0x01, p), frame(first, p)...), frame(0x80, p)...))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		want, wantErr := byGorilla(t, p)
		have, err := readUntilClose(ws.NewReader(stream{nil, bytes.NewReader(p)}, limit))
		var broke ws.ProtocolError
		if errors.As(err, &broke) && strings.Contains(broke.Error(), "length") {
			// Gorilla takes lengths in any form.
			require.GreaterOrEqual(t, len(want), len(have))
			require.Equal(t, want[:len(have)], have)
			return
		}
		require.Equal(t, want, have)
		var lost *websocket.CloseError
		ended := errors.As(wantErr, &lost) || errors.Is(wantErr, io.ErrUnexpectedEOF) || errors.Is(wantErr, io.EOF)
		switch {
		case errors.Is(err, errClosed): // what gorilla says of it is not compared
		case errors.As(err, &broke):
			require.ErrorContains(t, wantErr, "websocket: ")
			require.False(t, ended)
		case errors.Is(err, ws.ErrTooLong):
			// Gorilla reads the mask before it looks.
			require.True(t, ended || errors.Is(wantErr, websocket.ErrReadLimit), "%v", wantErr)
		default:
			require.True(t, ended, "%v: %v", err, wantErr)
		}
	})
}

func readUntilClose(r *ws.Reader) (all []got, err error) {
	for {
		op, p, err := r.Next()
		if err != nil {
			return all, err
		}
		if op == ws.Close {
			return all, errClosed
		}
		all = append(all, got{op, string(p)})
	}
}
