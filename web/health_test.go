package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/traceroom/traceroom/rooms"
)

// ailing is a Service whose store is well or not, or hangs.
type ailing struct {
	rooms.Service
	mu    sync.Mutex
	err   error
	hangs chan struct{} // nil: it does not
	asked int
}

func (a *ailing) Ping(context.Context) error {
	a.mu.Lock()
	a.asked++
	hangs := a.hangs
	a.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// hang has Ping wait until what it returns is called.
func (a *ailing) hang() (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hangs := make(chan struct{})
	a.hangs = hangs
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.hangs = nil
		close(hangs)
	}
}

func (a *ailing) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *ailing) fails(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func TestHealthNamesWhatFailsAndReadinessFollowsTheLife(t *testing.T) {
	service := &ailing{}
	nothing := http.NotFoundHandler()
	s := New(Config{Service: service, Page: nothing, Metrics: nothing, Log: zap.NewNop(), Limits: DefaultLimits})
	defer s.Close()
	get := func(path string) (int, map[string]any) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		var body map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		return w.Code, body
	}
	status, body := get("/health")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "healthy", body["status"])
	require.NotContains(t, body, "failing")

	service.fails(errors.New("the disk is gone"))
	status, body = get("/health/")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unhealthy", body["status"])
	require.Equal(t, "store", body["failing"])
	require.Equal(t, "traceroom", body["service"])

	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "starting", body["status"])
	service.fails(nil)
	status, _ = get("/health")
	require.Equal(t, http.StatusOK, status)
	s.Ready(true)
	status, _ = get("/readyz")
	require.Equal(t, http.StatusOK, status)
	s.Drain(t.Context())
	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "draining", body["status"])
}

// A server whose store is away is not ready, and is again when the store is. Probes cost one question in two seconds, and are
// answered within one however long the store takes.
func TestReadinessFollowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ailing{}
		nothing := http.NotFoundHandler()
		var said bytes.Buffer
		log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(&said), zap.InfoLevel))
		s := New(Config{Service: service, Page: nothing, Metrics: nothing, Log: log, Limits: DefaultLimits})
		defer s.Close()
		s.Ready(true)
		probe := func() (int, string) {
			w := httptest.NewRecorder()
			began := time.Now()
			s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			require.LessOrEqual(t, time.Since(began), time.Second)
			return w.Code, strings.TrimSpace(w.Body.String())
		}
		// until probes twice a second, as two who balance load may do, until the answer is this.
		until := func(want int) (body string) {
			began := time.Now()
			for status := 0; status != want; {
				require.LessOrEqual(t, time.Since(began), 4*time.Second)
				status, body = probe()
				time.Sleep(500 * time.Millisecond)
			}
			return body
		}
		for range 20 {
			until(http.StatusOK)
		}
		require.LessOrEqual(t, service.count(), 6, "in ten seconds")
		require.JSONEq(t, `{"status":"ready"}`, until(http.StatusOK))

		service.fails(errors.New("PostgreSQL is away"))
		require.JSONEq(t, `{"status":"unavailable","failing":"store"}`, until(http.StatusServiceUnavailable))
		service.fails(nil)
		until(http.StatusOK)

		end := service.hang()
		asked := service.count()
		for range 20 {
			until(http.StatusServiceUnavailable)
		}
		require.Equal(t, asked+1, service.count(), "it is not asked again while it owes an answer")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/health", nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		end()
		until(http.StatusOK)
		s.Drain(t.Context())
		require.Equal(t, 2, strings.Count(said.String(), "not ready"), "once for each time")
		require.Equal(t, 2, strings.Count(said.String(), "can be used again"))
	})
}
