package page

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// showing returns how long the page takes, in milliseconds, from the first of n messages to the frame after the last is
// in the log. The messages are handed to the socket's own listener, so that the server's and the network's time is not in it.
func showing(tab *browsertest.Tab, n int) float64 {
	return browsertest.Eval[float64](tab, fmt.Sprintf(`new Promise((done) => {
		const from = Number(document.querySelector('#messages .row:last-of-type')?.dataset.seq ?? 0);
		const begin = performance.now();
		for (let i = 1; i <= %d; i++) {
			window.theSocket.onmessage({ data: JSON.stringify({ type: 'message', client_id: 'bob', room_id: 'general', seq: from + i,
				id: 'id-' + (from + i), text: 'message ' + (from + i), timestamp: Date.now(), traceparent: '00-' + 'a'.repeat(32) + '-' + 'b'.repeat(16) + '-01' }) });
		}
		const look = () => document.querySelector('#messages .row:last-of-type')?.dataset.seq === String(from + %d)
			? (document.body.offsetHeight, done(performance.now() - begin)) : requestAnimationFrame(look);
		requestAnimationFrame(look);
	})`, n, n))
}

// keepSocket makes the page's socket known to the test, as window.theSocket.
const keepSocket = `(() => {
	const Real = WebSocket;
	window.WebSocket = class extends Real { constructor(...a) { super(...a); window.theSocket = this; } };
})()`

// Ten thousand messages later the page is as quick as at first, holds no more of them, and stays at the newest.
func TestTenThousandMessages(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Do(beforeLoad(keepSocket))
	tab.Open("/?room=general&name=alice")
	live(tab)

	const batch = 100
	fastest := func() float64 { // Of some, because the machine may be busy with other things.
		best := showing(tab, batch)
		for range 9 {
			best = min(best, showing(tab, batch))
		}
		return best
	}
	showing(tab, 600) // Warm, and as many rows as there will ever be.
	before := fastest()
	for range 100 {
		showing(tab, batch)
	}
	after := fastest()
	t.Logf("%d messages are shown within %.1f ms at first, %.1f ms after 10,000", batch, before, after)
	require.Less(t, after, 2*before+10, "slower than at first")
	require.LessOrEqual(t, browsertest.Eval[int](tab, `document.querySelectorAll('#messages > li').length`), 500)
	require.Less(t, browsertest.Eval[int](tab, `document.querySelectorAll('*').length`), 12_000)
	tab.Wait(atBottom)
	tab.WaitText("#older", "Older messages are not shown")

	// A flood in one go is no more than the newest rows of it.
	showing(tab, 10_000)
	require.LessOrEqual(t, browsertest.Eval[int](tab, `document.querySelectorAll('#messages > li').length`), 500)
	tab.Wait(atBottom)
}

const atBottom = `(() => { const l = document.querySelector('#log'); return l.scrollHeight - l.clientHeight - l.scrollTop < 2; })()`

// Who has scrolled up is not moved, and is told that there is more below.
func TestScrolledUp(t *testing.T) {
	m := newMock(t, Config{})
	for i := range 90 {
		m.say("general", "bob", fmt.Sprint("line ", i))
	}
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.WaitText(".text", "line 89")
	tab.Wait(atBottom)
	tab.Do(wheel(640, 300, -600))
	tab.Wait("!" + atBottom)
	settle(tab)
	where := `Math.round([...document.querySelectorAll('#messages .row')].find((e) => e.textContent.includes('line 75')).getBoundingClientRect().top)`
	before := browsertest.Eval[int](tab, where)
	for i := range 20 {
		m.say("general", "carol", fmt.Sprint("new ", i))
	}
	tab.WaitText("#pill:not([hidden])", "20 new messages")
	require.InDelta(t, before, browsertest.Eval[int](tab, where), 2, "what is read stays where it is")
	tab.Click("#pill")
	tab.Wait(atBottom)
	tab.Wait(`document.querySelector('#pill').hidden`)
	m.say("general", "carol", "the last")
	tab.WaitText(".text", "the last")
	tab.Wait(atBottom)
	// An own message leads back to the newest.
	tab.Do(wheel(640, 300, -600))
	tab.Wait("!" + atBottom)
	say(tab, "mine")
	tab.WaitText("#messages .own", "mine")
	tab.Wait(atBottom)
}

// The newest message stays in view when the space for the log changes.
func TestResizeStaysAtBottom(t *testing.T) {
	m := newMock(t, Config{})
	for i := range 90 {
		m.say("general", "bob", fmt.Sprint("a line that is long enough to take two lines on a narrow screen, number ", i))
	}
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.WaitText(".text", "number 89")
	tab.Wait(atBottom)
	tab.Resize(390, 500, 1)
	tab.Wait(atBottom)
	tab.Resize(1280, 700, 1)
	tab.Wait(atBottom)
}

// A hidden page counts what it missed in its title.
func TestUnreadInTitle(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Do(beforeLoad(`Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? false, configurable: true })`))
	tab.Open("/?room=general&name=alice")
	live(tab)
	browsertest.Eval[bool](tab, `(window.isHidden = true, document.dispatchEvent(new Event('visibilitychange')), true)`)
	m.say("general", "bob", "one")
	m.say("general", "bob", "two")
	tab.Wait(`document.title === '(2) general · Traceroom'`)
	waitTexts(tab, "one", "two")
	browsertest.Eval[bool](tab, `(window.isHidden = false, document.dispatchEvent(new Event('visibilitychange')), true)`)
	tab.Wait(`document.title === 'general · Traceroom'`)
}
