package page

import (
	_ "embed"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

//go:embed testdata/contrast.js
var contrast string

// tooFaint returns each visible text whose contrast to its background is below WCAG 2.2's level AA.
func tooFaint(tab *browsertest.Tab) []string {
	settle(tab)
	return browsertest.Eval[[]string](tab, contrast)
}

// All text can be read, in both themes and in every state of the page.
func TestContrast(t *testing.T) {
	browser := browsertest.Shared(t)
	states := map[string]func(*testing.T, *mock, *browsertest.Tab){
		"busy": busy, "empty": empty, "reconnecting": reconnecting, "trouble": trouble, "deleted": deleted,
		"new room": newRoom, "name": name, "authors": authors,
		"traces": traces, "trace": trace, "failed trace": failedTrace,
	}
	for state, show := range states {
		t.Run(state, func(t *testing.T) {
			m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
			tab := newVisitor(t, m, browser)
			tab.Prefer("prefers-color-scheme", "light", "prefers-reduced-motion", "reduce")
			show(t, m, tab)
			require.Empty(t, tooFaint(tab), "light")
			tab.Prefer("prefers-color-scheme", "dark", "prefers-reduced-motion", "reduce")
			require.Empty(t, tooFaint(tab), "dark")
		})
	}
}

// authors shows authors of every colour.
func authors(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	tab.Open("/?room=authors&name=alice")
	live(tab)
	for _, author := range browsertest.Eval[[]string](tab, `import('/page/people.js').then(({ hueOf }) => {
		const byHue = new Map();
		for (let i = 0; i < 1000; i++) byHue.set(hueOf('author-' + i), 'author-' + i);
		return [...byHue.values()];
	})`) {
		m.say("authors", author, "text")
	}
	tab.Wait(`new Set([...document.querySelectorAll('#messages .author')].map((e) => e.className)).size === 12`)
}

// The system's theme, until the toggle says otherwise, which is remembered.
func TestTheme(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	dark := `getComputedStyle(document.body).backgroundColor === 'rgb(16, 21, 26)'`
	light := `getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'`
	tab.Prefer("prefers-color-scheme", "dark")
	tab.Open("/")
	live(tab)
	tab.Wait(dark)
	tab.Click("#theme")
	tab.Wait(light)
	tab.Open("/")
	live(tab)
	tab.Wait(light)
	tab.Wait(`document.querySelector('#theme').getAttribute('aria-label') === 'Use the dark theme'`)
	tab.Click("#theme")
	tab.Wait(dark)
	tab.Prefer("prefers-color-scheme", "light")
	tab.Wait(light)
}

// On a phone nothing lies outside the screen, the rooms are in a drawer, and what is under it cannot be reached.
func TestNarrow(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Resize(360, 640, 1)
	tab.Prefer("prefers-reduced-motion", "reduce") // A drawer that moves is hard to hit.
	torture(t, m, tab)
	require.Empty(t, browsertest.Eval[[]string](tab, `[...document.querySelectorAll('main *')]
		.filter((e) => e.checkVisibility() && !e.closest('.sr-only, .continued .head, h2 *') && e.getBoundingClientRect().right > innerWidth + 1)
		.map((e) => e.className || e.tagName)`))
	require.True(t, browsertest.Eval[bool](tab, `document.documentElement.scrollWidth <= 360`))

	tab.Wait(`document.querySelector('#sidebar').inert`)
	tab.Click("#open-sidebar")
	tab.Wait(`!document.querySelector('#sidebar').inert && document.querySelector('#main').inert`)
	tab.Wait(`document.querySelector('#sidebar').contains(document.activeElement)`)
	tab.Press(kb.Escape)
	tab.Wait(`document.activeElement.id === 'open-sidebar' && document.querySelector('#sidebar').inert`)
	tab.Press(kb.Enter)
	tab.Click(`#rooms a[data-room="go"]`)
	tab.WaitText("#room-name", "go")
	tab.Wait(`document.querySelector('#sidebar').inert && !document.querySelector('#main').inert`)
	live(tab)
}
