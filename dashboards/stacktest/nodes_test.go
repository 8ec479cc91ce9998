package stacktest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/rooms/relay/natstest"
	"github.com/traceroom/traceroom/rooms/store/pgtest"
)

// startJaeger starts Jaeger as the compose file has it. It returns its pages and where it takes spans.
func startJaeger(t *testing.T, n *network) (pages jaeger, spans string) {
	c := n.container(t, compose(t), "jaeger", nil)
	c.env = append(c.env, "JAEGER_LISTEN_HOST=127.0.0.1")
	pages, spans = jaeger(n.url(t, "16686", "")), n.url(t, "4318", "")
	n.release()
	cmd := exec.Command(tool(t, "jaeger"), c.args...)
	cmd.Env = c.env
	start(t, "jaeger", cmd)
	eventually(t, 30*time.Second, "Jaeger is healthy", func() error { return healthy(context.Background(), c, nil) })
	return pages, spans
}

// Two nodes that share PostgreSQL and NATS, visited over both sockets and over HTTP: Jaeger has nothing to warn of in any of
// their spans, and knows all that they refer to.
func TestTracesOfTwoNodesHaveNoWarnings(t *testing.T) {
	im := buildImage(t)
	n := newNetwork(t)
	addrs := map[string]string{"node1": "127.0.0.1:" + n.port(t, "8001"), "node2": "127.0.0.1:" + n.port(t, "8002")}
	pages, spans := startJaeger(t, n)
	database, nats := pgtest.Start(t).Database(t), natstest.Start(t).URL()
	var nodes []*program
	for name, addr := range addrs {
		cmd := exec.Command(filepath.Join(im.root, im.entrypoint[0]))
		cmd.Dir = t.TempDir()
		cmd.Env = []string{
			"ADDR=" + addr, "DATABASE_URL=" + database, "NATS_URL=" + nats, "OTEL_EXPORTER_OTLP_ENDPOINT=" + spans, "OTEL_TRACES_EXPORTER=otlp",
			"OTEL_RESOURCE_ATTRIBUTES=service.instance.id=" + name,
		}
		nodes = append(nodes, start(t, name, cmd))
		eventually(t, 30*time.Second, name+" is ready", func() error {
			resp, err := http.Get("http://" + addr + "/readyz")
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				return errors.New(resp.Status)
			}
			return nil
		})
	}
	first, second := "http://"+addrs["node1"], "http://"+addrs["node2"]
	visit(t, first)
	visit(t, second)
	ada, ben := enter(t, first, "lobby", "ada"), enter(t, second, "lobby", "ben")
	until(t, ada, "user_joined")
	eve := enterSocketIO(t, second, "lobby", "eve")
	until(t, ada, "user_joined")
	const messages = 200
	for range messages {
		require.NoError(t, ada.WriteJSON(map[string]string{"type": "message", "text": "is there any coffee?"}))
		until(t, ben, "message")
		untilPacket(t, eve, `42["new_message"`)
		until(t, ada, "message")
	}
	for _, node := range nodes {
		require.NoError(t, node.stop(15*time.Second))
	}
	requireNoWarnings(t, pages, "deliver room/{room}", 2*messages)
}

// requireNoWarnings looks at all that Jaeger has, which is to have so many spans of one name at least: what spans refer to,
// their parents and links, is there, and Jaeger warns of nothing.
func requireNoWarnings(t *testing.T, pages jaeger, name string, least int) {
	eventually(t, 20*time.Second, "all is there and well", func() error {
		found, err := pages.search(url.Values{"service": {"traceroom"}, "limit": {"1500"}, "lookback": {"1h"}})
		if err != nil {
			return err
		}
		spans, named := map[string]bool{}, 0
		for _, tr := range found {
			for _, sp := range tr.Spans {
				spans[sp.TraceID+sp.SpanID] = true
				if sp.OperationName == name {
					named++
				}
				require.Empty(t, sp.Warnings, "%s in %s", sp.OperationName, tr.TraceID)
			}
		}
		if named < least {
			return fmt.Errorf("%d spans are called %q", named, name)
		}
		links := 0
		for _, tr := range found {
			for _, sp := range tr.Spans {
				for _, ref := range sp.References {
					if !spans[ref.TraceID+ref.SpanID] {
						return fmt.Errorf("nobody knows what %s in %s refers to (%s)", sp.OperationName, tr.TraceID, ref.RefType)
					}
					if ref.RefType == "FOLLOWS_FROM" {
						links++
					}
				}
			}
		}
		require.Positive(t, links)
		return nil
	})
}
