package ws_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/ws"
	"github.com/traceroom/traceroom/web/wstest"
)

// codeOf is the code that a connection is closed with after what Next returned; 0: the peer has closed it without a word.
func codeOf(t *testing.T, op ws.Op, p []byte, err error) int {
	t.Helper()
	if err == nil && op == ws.Close {
		var code int
		if code, _, err = ws.ParseClose(p); err == nil {
			return code
		}
	}
	var broke ws.ProtocolError
	switch {
	case errors.As(err, &broke):
		require.NotEmpty(t, broke.Error())
		return 1002
	case errors.Is(err, ws.ErrNotUTF8):
		return 1007
	case errors.Is(err, ws.ErrTooLong):
		return 1009
	}
	require.ErrorIs(t, err, io.EOF)
	return 0
}

func TestEverySectionOfRFC6455(t *testing.T) {
	for _, c := range (wstest.Server{Limit: limit}).Cases() {
		t.Run(c.Name, func(t *testing.T) {
			r := ws.NewReader(stream{nil, bytes.NewReader([]byte(strings.Join(c.Send, "")))}, limit)
			var heard []wstest.Message
			for {
				op, p, err := r.Next()
				if err == nil && op == ws.Text && !utf8.Valid(p) {
					err = ws.ErrNotUTF8
				}
				if err != nil || op == ws.Close {
					require.Equal(t, c.Close, codeOf(t, op, p, err))
					break
				}
				heard = append(heard, wstest.Message{Op: byte(op), Payload: string(p)})
			}
			require.Equal(t, len(c.Heard), len(heard))
			for i := range heard {
				require.True(t, c.Heard[i] == heard[i], "message %d", i)
			}
		})
	}
}

func TestWhatIsWrongWithALengthIsSaidAsItIs(t *testing.T) {
	for frame, want := range map[string]string{
		wstest.Header(0x89, 126, 1):   "control frame with an extended length",
		wstest.Header(0x89, 126, 200): "control frame with an extended length",
		wstest.Header(0x81, 126, 1):   "length not in its shortest form",
		wstest.Header(0x81, 127, 126): "length not in its shortest form",
		wstest.Header(0x81, 127, -1):  "length with its highest bit set",
	} {
		_, _, err := ws.NewReader(stream{nil, bytes.NewReader([]byte(frame))}, limit).Next()
		require.Equal(t, ws.ProtocolError(want), err)
	}
}

func TestDrainEndsWhenThePeerHasClosedOrItsTimeIsOver(t *testing.T) {
	server, client := tcp(t)
	r := ws.NewReader(server, limit)
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, 10<<20))
		client.Close()
		sent <- err
	}()
	r.Drain(time.Hour)
	require.NoError(t, <-sent)

	server, _ = tcp(t)
	ws.NewReader(server, limit).Drain(time.Millisecond)
}

func TestAHandshakeOfAnotherVersionIsRefused(t *testing.T) {
	good := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		return r
	}
	for name, test := range map[string]struct {
		spoil  func(r *http.Request)
		status int
	}{
		"as it should be": {func(*http.Request) {}, 0},
		"HTTP/1.0":        {func(r *http.Request) { r.ProtoMinor = 0 }, 400},
		"two keys":        {func(r *http.Request) { r.Header.Add("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==") }, 400},
		"version 8":       {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "8") }, 426},
		"two versions":    {func(r *http.Request) { r.Header.Add("Sec-WebSocket-Version", "8") }, 426},
	} {
		t.Run(name, func(t *testing.T) {
			r, header := good(), http.Header{}
			test.spoil(r)
			status, reason := ws.Refusal(r, header)
			require.Equal(t, test.status, status)
			require.Equal(t, status == 0, reason == "")
			if status == 426 {
				require.Equal(t, "13", header.Get("Sec-WebSocket-Version"))
			}
		})
	}
}
