package stacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the page saves of a trace opens in Jaeger: by the upload of its search page, which has the query service transform
// OTLP JSON (/api/transform), and by being sent to its OTLP receiver. The chat itself exports nothing here, so that Jaeger
// knows only what it was given.
func TestASavedTraceOpensInJaeger(t *testing.T) {
	im := buildImage(t)
	n, project := newNetwork(t), compose(t)
	chat, jaegerd := n.container(t, project, "chat", im.env), n.container(t, project, "jaeger", nil)
	chat.env = append(chat.env, "OTEL_TRACES_EXPORTER=none")
	jaegerd.env = append(jaegerd.env, "JAEGER_LISTEN_HOST=127.0.0.1")
	address, receiver := n.url(t, "8000", ""), n.url(t, "4318", "/v1/traces")
	j := jaeger(n.url(t, "16686", ""))
	n.release()
	server := filepath.Join(im.root, im.entrypoint[0])
	programs := map[string]string{"chat": server, im.entrypoint[0]: server, "jaeger": tool(t, "jaeger")}
	for name, c := range map[string]*container{"chat": chat, "jaeger": jaegerd} {
		cmd := exec.Command(programs[name], c.args...)
		cmd.Env = c.env
		p := start(t, name, cmd)
		eventually(t, 30*time.Second, name+" is healthy", func() error {
			select {
			case <-p.done:
				require.FailNow(t, name+" ended", p.tail())
			default:
			}
			return healthy(context.Background(), c, programs)
		})
	}

	id := visit(t, address)
	eventually(t, 10*time.Second, "the message is delivered", func() error {
		var body struct {
			Open  int   `json:"open_count"`
			Spans []any `json:"spans"`
		}
		if err := ask(address+"/traces/"+id, &body); err != nil {
			return err
		}
		if body.Open > 0 || len(body.Spans) < len(edges) {
			return fmt.Errorf("%d spans, %d of them open", len(body.Spans), body.Open)
		}
		return nil
	})
	saved := save(t, address, id)
	_, err := j.trace(id)
	require.Error(t, err, "the chat exports nothing")

	t.Run("by upload", func(t *testing.T) {
		var answer struct{ Data []trace }
		require.NoError(t, json.Unmarshal(post(t, string(j)+"/api/transform", saved), &answer))
		require.Len(t, answer.Data, 1)
		require.Equal(t, id, answer.Data[0].TraceID)
		whole(t, &answer.Data[0])
		_, err := j.trace(id)
		require.Error(t, err, "an upload is shown, not kept")
	})

	t.Run("by its receiver", func(t *testing.T) {
		post(t, receiver, saved)
		message := received(t, j, id)
		whole(t, message)
		// Once Jaeger has the connection that the message came on, the link leads to it.
		of, to := message.find("receive room/{room}").reference("FOLLOWS_FROM")
		post(t, receiver, save(t, address, of))
		connect := received(t, j, of).find("GET /ws/{room_id}/{client_id}")
		require.NotNil(t, connect)
		require.Equal(t, to, connect.SpanID)
		require.Equal(t, message.find("receive room/{room}").tag("traceroom.connection.id"), connect.tag("traceroom.connection.id"))
	})
}

// save returns what the page's link to save a trace downloads.
func save(t *testing.T, address, id string) []byte {
	t.Helper()
	resp, err := http.Get(address + "/traces/" + id + ".otlp.json")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return body
}

func post(t *testing.T, address string, body []byte) []byte {
	t.Helper()
	resp, err := http.Post(address, "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", address, answer)
	return answer
}

// received waits until Jaeger has a trace.
func received(t *testing.T, j jaeger, id string) (tr *trace) {
	t.Helper()
	eventually(t, 20*time.Second, "Jaeger has the trace", func() (err error) {
		tr, err = j.trace(id)
		return err
	})
	return tr
}

// whole checks a message's trace in Jaeger: its spans and their nesting, their kinds and attributes, and the link to the
// connection.
func whole(t *testing.T, message *trace) {
	t.Helper()
	require.Len(t, message.Spans, len(edges))
	kinds := map[string]string{}
	for _, op := range operations {
		kinds[op.span] = op.kind
	}
	for _, edge := range edges {
		child := message.find(edge.span)
		require.NotNil(t, child, edge.span)
		require.Empty(t, child.Warnings, edge.span)
		// Jaeger has no tag for what is internal.
		if kind := kinds[edge.span]; kind != "internal" {
			require.Equal(t, kind, child.tag("span.kind"), edge.span)
		}
		require.NotEmpty(t, child.tag("traceroom.connection.id"), edge.span)
		require.Nil(t, child.tag("traceroom.open"), "%s has ended", edge.span)
		_, parent := child.reference("CHILD_OF")
		if edge.parent == "" {
			require.Empty(t, parent, "%s begins the trace", edge.span)
			continue
		}
		require.Equal(t, message.find(edge.parent).SpanID, parent, "%s is part of %s", edge.span, edge.parent)
	}
	require.EqualValues(t, 2, message.find("deliver room/{room}").tag("traceroom.recipients"))
	of, to := message.find("receive room/{room}").reference("FOLLOWS_FROM")
	require.Len(t, of, 32, "the connection is linked to")
	require.Len(t, to, 16)
	require.NotEqual(t, message.TraceID, of)
}
