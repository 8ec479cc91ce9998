package page

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// focused says what has the focus: its id, or its class, with the text of the row that it is in.
func focused(tab *browsertest.Tab) string {
	return browsertest.Eval[string](tab, `(() => {
		const e = document.activeElement;
		const row = e.closest('.row');
		return (e.id || e.className || e.dataset.room || e.tagName) + (row ? ':' + row.querySelector('.text').textContent : '');
	})()`)
}

// toTheTop makes the next Tab lead to the first stop of the page.
func toTheTop(tab *browsertest.Tab) {
	browsertest.Eval[bool](tab, `(document.body.tabIndex = -1, document.body.focus(), document.body.removeAttribute('tabindex'), true)`)
}

// visibleFocus fails unless what has the focus shows it.
func visibleFocus(t *testing.T, tab *browsertest.Tab) {
	t.Helper()
	require.True(t, browsertest.Eval[bool](tab, `(() => {
		const e = document.activeElement;
		const box = e.closest('.composer') ?? e;
		const style = getComputedStyle(box);
		const seen = e.getBoundingClientRect();
		return (style.outlineStyle !== 'none' || style.boxShadow !== 'none') && seen.width > 1 && seen.bottom > 0 && seen.top < innerHeight;
	})()`), "the focus on %s cannot be seen", focused(tab))
}

func TestKeyboardOnly(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
	for i := range 30 {
		m.say("general", "bob", fmt.Sprint("line ", i))
	}
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.WaitText(".text", "line 29")
	require.Equal(t, "message", focused(tab), "typing can begin at once")
	tab.Type("by keys")
	tab.Press(kb.Enter, chromedp.ModifierShift)
	tab.Type("alone" + kb.Enter)
	eventually(t, func() bool { return len(m.sent()) == 1 }, "Enter sends")
	require.Equal(t, "by keys\nalone", m.sent()[0].Text, "Shift and Enter break the line")
	tab.WaitText("#messages .own .text", "by keys")

	// From the top, in the order in which things stand.
	toTheTop(tab)
	order := []string{"skip", "create-room", "general", "go", "random", "me", "theme", "share", "open-traces", "log", "message"}
	for _, want := range order {
		tab.Press(kb.Tab)
		if want == "general" || want == "go" || want == "random" {
			require.Equal(t, want, browsertest.Eval[string](tab, `document.activeElement.dataset.room ?? ''`))
		} else {
			require.Equal(t, want, focused(tab)[:min(len(want), len(focused(tab)))])
		}
		visibleFocus(t, tab)
	}

	// The log is one stop; the arrows go through it; Tab reaches what can be done with the message one is on.
	tab.Press(kb.Tab, chromedp.ModifierShift)
	require.Equal(t, "log", focused(tab))
	tab.Press(kb.ArrowUp)
	require.Equal(t, "row own:by keys\nalone", focused(tab))
	tab.Press(kb.ArrowUp)
	tab.Press(kb.ArrowUp)
	tab.Press(kb.ArrowDown)
	require.Contains(t, focused(tab), ":line 29")
	visibleFocus(t, tab)
	tab.Press(kb.Tab)
	require.Equal(t, "trace-show:line 29", focused(tab))
	tab.Press(kb.Tab)
	require.Equal(t, "trace-copy:line 29", focused(tab))
	visibleFocus(t, tab)
	tab.Press(kb.Enter)
	tab.WaitText("#announcer", "Trace id copied")
	tab.WaitText(".trace-copy.confirmed", "copied")
	tab.Press(kb.Tab)
	require.Equal(t, "trace-jaeger:line 29", focused(tab))
	tab.Press(kb.Tab)
	require.Equal(t, "message", focused(tab))
	tab.Press(kb.Tab, chromedp.ModifierShift)
	require.Equal(t, "trace-jaeger:line 29", focused(tab))
	tab.Press(kb.Home)
	require.Equal(t, "row:line 0", focused(tab))
	visibleFocus(t, tab)
	tab.Press(kb.End)
	require.Equal(t, "row own:by keys\nalone", focused(tab))
}

func TestSkipLinkAndEscape(t *testing.T) {
	m := newMock(t, Config{})
	m.say("general", "bob", "hello")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	waitTexts(tab, "hello")
	toTheTop(tab)
	tab.Press(kb.Tab)
	require.Equal(t, "skip", focused(tab))
	tab.Press(kb.Enter)
	require.Equal(t, "message", focused(tab))
	tab.Do(focus("#log"))
	tab.Press(kb.Home)
	require.Contains(t, focused(tab), "hello")
	tab.Press(kb.Escape)
	require.Equal(t, "message", focused(tab))
}

// Everything that can be operated has a name, and the log tells those who listen what is new, not what is old.
func TestNamesAndLiveRegions(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
	m.say("general", "bob", "old")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	waitTexts(tab, "old")
	require.Empty(t, nameless(t, tab))
	tab.Wait(`document.querySelector('#live').getAttribute('aria-live') === 'polite'`)
	tab.Click("#create-room")
	require.Empty(t, nameless(t, tab))
	tab.Press(kb.Escape)
	tab.Click("#me")
	require.Empty(t, nameless(t, tab))
}
