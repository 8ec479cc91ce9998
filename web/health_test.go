package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
)

// ailing is a Service whose store is well or not.
type ailing struct {
	rooms.Service
	err error
}

func (a *ailing) Ping(context.Context) error { return a.err }

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

	service.err = errors.New("the disk is gone")
	status, body = get("/health/")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unhealthy", body["status"])
	require.Equal(t, "store", body["failing"])
	require.Equal(t, "traceroom", body["service"])

	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "starting", body["status"])
	s.Ready(true)
	status, _ = get("/readyz")
	require.Equal(t, http.StatusOK, status)
	s.Drain(t.Context())
	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "draining", body["status"])
}
