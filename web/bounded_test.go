package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms"
)

func TestWhatIsTooLongIsRefusedBeforeAnybodySeesIt(t *testing.T) {
	var reasons []string
	seen := 0
	h := Bounded(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }), func(reason string) { reasons = append(reasons, reason) })
	id, name := strings.Repeat("%78", rooms.MaxIDLength), strings.Repeat("%F0%9F%98%80", rooms.MaxNameLength)
	for target, status := range map[string]int{
		"/":                                      200,
		"/ws/" + id + "/" + id + "/":             200,
		"/messages/chatroom/" + id:               200,
		"/rooms?room_id=" + id + "&name=" + name: 200,
		"/ws/general/ada?tracestate=" + strings.Repeat("%61", 512):              200,
		"/" + strings.Repeat("x", maxPath-1):                                    200,
		"/" + strings.Repeat("x", maxPath):                                      414,
		"/ws/" + strings.Repeat("x", 1000) + "/x":                               414,
		"/socket.io/" + strings.Repeat("x", 1000):                               414,
		"/traces/" + strings.Repeat("x", 1000):                                  414,
		"/rooms?room_id=" + strings.Repeat("x", maxTarget):                      414,
		"/socket.io/?EIO=4&transport=polling&" + strings.Repeat("x", maxTarget): 414,
	} {
		seen, reasons = 0, nil
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		require.Equal(t, status, w.Code, target)
		if status == 200 {
			require.Equal(t, 1, seen, target)
			require.Empty(t, reasons, target)
			continue
		}
		require.Zero(t, seen, target)
		require.Equal(t, []string{TooLong}, reasons, target)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(strings.Repeat("X", maxMethod+1), "/", nil))
	require.Equal(t, http.StatusNotImplemented, w.Code)
}
