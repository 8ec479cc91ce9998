package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHealthCommand(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		exit   int
		says   string
	}{
		"healthy":        {200, `{"status":"healthy","service":"traceroom","timestamp":1}`, 0, "healthy\n"},
		"store down":     {503, `{"status":"unhealthy","failing":"store"}`, 1, "traceroom: unhealthy: store\n"},
		"something else": {200, `<html>`, 1, "not as a traceroom does"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				require.Equal(t, "/health", r.URL.Path)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer server.Close()
			var stdout, stderr bytes.Buffer
			exit := run([]string{"health", "--addr", strings.TrimPrefix(server.URL, "http://")}, &stdout, &stderr)
			require.Equal(t, c.exit, exit)
			require.Contains(t, stdout.String()+stderr.String(), c.says)
		})
	}
}

func TestHealthCommandWithoutServer(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close() // its port is free now
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1, run([]string{"health", "--addr", strings.TrimPrefix(server.URL, "http://")}, &stdout, &stderr))
	require.Contains(t, stderr.String(), "no answer")
	require.Equal(t, 2, run([]string{"health", "--addr", "8000"}, &stdout, &stderr))
}

// A server that listens on all interfaces is asked on the loopback interface.
func TestHealthTarget(t *testing.T) {
	for addr, want := range map[string]string{
		":8000": "localhost:8000", "0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80", "10.0.0.1:80": "10.0.0.1:80",
	} {
		require.Equal(t, want, (&health{Addr: addr}).target())
	}
}
