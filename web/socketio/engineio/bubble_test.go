package engineio_test

import (
	"testing"
	"testing/synctest"

	"github.com/traceroom/traceroom/web/socketio/engineio"
	"github.com/traceroom/traceroom/web/wstest"
)

// inBubble runs a test in a bubble: time passes only while everything waits.
func inBubble(t *testing.T, opts engineio.Options, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, opts)
		var p *wstest.Pipes
		h.http, p = wstest.ServeOnPipes(h.eio)
		h.dialer.NetDialContext = p.Dial
		defer h.stop()
		test(t, h)
	})
}
