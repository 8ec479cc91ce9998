package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
	"github.com/traceroom/traceroom/web/page/browsertest"
)

// shows returns a condition in JavaScript: the page shows exactly these messages.
func shows(want ...string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#messages .text')].map((e) => e.textContent).join('|') === %q`, strings.Join(want, "|"))
}

const connected = `document.querySelector('#status').dataset.phase === 'open'`

// Two people talk on the page of the real program, which is killed and restarted between two messages.
func TestPeopleTalkOnThePage(t *testing.T) {
	p := apptest.Start(t, apptest.Options{})
	browser := browsertest.Start(t)
	visit := func(name string) *browsertest.Tab {
		tab := browsertest.NewTab(t, browser, p.URL, chromedp.WithNewBrowserContext())
		tab.Open("/?room=general&name=" + name)
		tab.Wait(connected)
		return tab
	}
	say := func(tab *browsertest.Tab, text string) {
		tab.Click("#message")
		tab.Paste(text)
		tab.Press(kb.Enter)
	}
	alice := visit("alice")
	bob := visit("bob")
	alice.WaitText("#participants", "2 people here")

	say(alice, "hello, bob")
	markup := `<script>document.title = "taken"</script><img src=x onerror="document.title = 'taken'">`
	say(bob, markup)
	for _, tab := range []*browsertest.Tab{alice, bob} {
		tab.Wait(shows("hello, bob", markup))
		require.NotContains(t, browsertest.Eval[string](tab, `document.title`), "taken")
		require.Zero(t, browsertest.Eval[int](tab, `document.querySelectorAll('#messages script, #messages img').length`))
		tab.Expect("WebSocket connection to")
		tab.Expect("Failed to load resource: net::ERR_")
	}

	p.Kill(t)
	alice.WaitText("#status", "Reconnecting")
	say(alice, "are you there?")
	p.Restart(t)
	for _, tab := range []*browsertest.Tab{alice, bob} {
		tab.Wait(connected)
		tab.Wait(shows("hello, bob", markup, "are you there?"))
	}
	// The trace id that a message shows is in the trace log.
	trace := browsertest.Eval[string](bob, `[...document.querySelectorAll('#messages .row')].at(-1).dataset.traceId`)
	p.Stop(t)
	functions := map[string]bool{}
	for _, line := range p.TraceLog(t) {
		if line.TraceID == trace {
			functions[line.Function] = true
		}
	}
	for _, function := range []string{"receive", "append", "broadcast", "deliver"} {
		require.True(t, functions[function], "%s is not in trace %s", function, trace)
	}
}
