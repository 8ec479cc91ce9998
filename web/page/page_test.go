package page

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

func TestPageTalk(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686/"})
	browser := browsertest.Start(t)
	alice := visit(t, m, browser, "general", "alice")
	bob := visit(t, m, browser, "general", "bob")
	alice.WaitText(".presence", "bob joined")
	alice.WaitText("#participants", "2 people here")
	bob.WaitText("#participants", "2 people here")

	bob.Type("h")
	alice.WaitText("#typing", "bob is typing")
	bob.Type("ello, alice" + keyEnter)
	alice.WaitText(".row .text", "hello, alice")
	bob.WaitText("#messages .row.own .text", "hello, alice")
	alice.Wait(`!document.querySelector('#typing').classList.contains('on')`)

	sent := m.sent()
	require.Len(t, sent, 1)
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, sent[0].Traceparent)
	trace := sent[0].Traceparent[3:35]
	alice.Wait(fmt.Sprintf(`document.querySelector('#messages .row').dataset.traceId === %q`, trace))
	alice.Wait(fmt.Sprintf(`document.querySelector('#messages .trace-jaeger').href === 'http://127.0.0.1:16686/trace/%s'`, trace))
}
