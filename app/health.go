package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// health is the command that asks a running server whether it works, for health checks where there is no shell and no
// curl. It exits with status 0 if the server is healthy and 1 if not.
type health struct {
	Addr    string        `env:"ADDR" default:":8000" placeholder:"HOST:PORT" help:"Address that the server listens on; if that is all interfaces, the loopback interface is asked."`
	Timeout time.Duration `default:"3s" placeholder:"DURATION" help:"How long to wait for the answer."`
}

// maxHealth is how much of an answer is read, in bytes.
const maxHealth = 4 << 10

// Validate is called by kong.
func (h *health) Validate() error {
	if _, _, err := net.SplitHostPort(h.Addr); err != nil {
		return &unusableError{"addr", "ADDR", h.Addr, "HOST:PORT, such as :8000 or 127.0.0.1:8000", err}
	}
	return nil
}

// Run sends GET /health. An error says what is wrong with the server.
func (h *health) Run(ctx context.Context, out *streams) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.target()+"/health", nil)
	if err != nil {
		return &unusableError{"addr", "ADDR", h.Addr, "HOST:PORT, such as :8000 or 127.0.0.1:8000", err}
	}
	// A transport of its own uses no proxy from the environment and leaves no connection open.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var said struct{ Status, Failing string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxHealth)).Decode(&said); err != nil {
		return fmt.Errorf("answered %s, and not as a traceroom does: %w", resp.Status, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", said.Status, said.Failing)
	}
	_, err = fmt.Fprintln(out.stdout, said.Status)
	return err
}

// target returns the HOST:PORT at which to reach a server that listens on Addr.
func (h *health) target() string {
	host, port, err := net.SplitHostPort(h.Addr)
	if err != nil {
		return h.Addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
