package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// say types text into the message box and sends it.
func say(tab *browsertest.Tab, text string) {
	tab.Do(focus("#message"))
	tab.Paste(text)
	tab.Press(kb.Enter)
}

// texts returns what the log shows, top to bottom.
func texts(tab *browsertest.Tab) []string {
	return browsertest.Eval[[]string](tab, `[...document.querySelectorAll('#messages .text')].map((e) => e.textContent)`)
}

// waitTexts waits until the log shows exactly these messages.
func waitTexts(tab *browsertest.Tab, want ...string) {
	tab.Wait(fmt.Sprintf(`[...document.querySelectorAll('#messages .text')].map((e) => e.textContent).join('|') === %q`,
		strings.Join(want, "|")))
}

func TestTalk(t *testing.T) {
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686/"})
	browser := browsertest.Shared(t)
	alice := visit(t, m, browser, "general", "alice")
	alice.WaitText("#empty h3", "No messages yet. Say something.")
	bob := visit(t, m, browser, "general", "bob")
	alice.WaitText(".presence", "bob joined")
	for _, tab := range []*browsertest.Tab{alice, bob} {
		tab.WaitText("#participants", "2 people here")
	}

	bob.Type("h")
	alice.WaitText("#typing.on", "bob is typing")
	bob.Type("ello, alice" + kb.Enter)
	waitTexts(alice, "hello, alice")
	alice.Wait(`!document.querySelector('#typing').classList.contains('on')`)
	bob.Wait(`document.querySelectorAll('#messages .row.own').length === 1 && document.querySelector('#message').value === ''`)
	require.Equal(t, 1, m.typed(), "one typing notice for a dozen keys")

	trace := browsertest.Eval[string](alice, `document.querySelector('#messages .row').dataset.traceId`)
	require.Regexp(t, `^[0-9a-f]{32}$`, trace)
	for _, tab := range []*browsertest.Tab{alice, bob} {
		tab.Wait(fmt.Sprintf(`document.querySelector('#messages .row').dataset.traceId === %q`, trace))
		tab.Wait(fmt.Sprintf(`document.querySelector('#messages .trace-jaeger').href === 'http://127.0.0.1:16686/trace/%s'`, trace))
		tab.WaitText("#messages .trace-short", trace[:8])
	}
	same := `[...document.querySelectorAll('#messages .author')].map((e) => e.className).join()`
	require.Equal(t, browsertest.Eval[string](alice, same), browsertest.Eval[string](bob, same), "an author's colour is the same for all")

	bob.Open("/?room=go&name=bob")
	live(bob)
	alice.WaitText(".presence", "bob left")
	alice.WaitText("#participants", "1 person here")
}

// A typing notice that nothing follows goes away.
func TestTypingExpires(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Do(beforeLoad(hurry(5_000, 1_000)))
	tab.Open("/?room=general&name=alice")
	live(tab)
	for _, client := range []string{"bob", "carol"} {
		m.tell("general", client, map[string]any{"type": "typing", "client_id": client, "room_id": "general"})
	}
	tab.WaitText("#typing.on", "bob and carol are typing")
	tab.Wait(`!document.querySelector('#typing').classList.contains('on')`)
}

// Each message carries the sender's name for it, and no trace context: a parent that nobody records would be missing in its trace.
func TestSentFrames(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	say(tab, "one")
	say(tab, "two\nlines")
	waitTexts(tab, "one", "two\nlines")
	var refs []string
	for _, f := range m.sent() {
		require.Empty(t, f.Traceparent)
		require.NotEmpty(t, f.Ref)
		refs = append(refs, f.Ref)
	}
	require.Len(t, slices.Compact(refs), 2)
	require.Zero(t, browsertest.Eval[int](tab, `document.querySelectorAll('.trace-jaeger').length`), "no links without a Jaeger")
}

// Own messages are pending until their echo comes, and then stand where the server put them.
func TestPendingUntilEcho(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	held := make(chan func(), 1)
	m.onMessage(func(c *mockMember, f clientFrame) bool {
		held <- func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.sayLocked(c, "general", "alice", f)
		}
		return true
	})
	say(tab, "mine")
	release := <-held
	tab.WaitText("#pending .text", "mine")
	tab.WaitText("#pending .state", "Sending")
	m.say("general", "bob", "earlier")
	waitTexts(tab, "earlier")
	require.Equal(t, 1, browsertest.Eval[int](tab, `document.querySelectorAll('#pending .row').length`))
	release()
	waitTexts(tab, "earlier", "mine")
	tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
}

func TestMarkupStaysText(t *testing.T) {
	m := newMock(t, Config{})
	m.create("markup", `<img src=x onerror="window.hacked=4"><b>room</b>`)
	browser := browsertest.Shared(t)
	alice := visit(t, m, browser, "markup", "alice")
	bob := visit(t, m, browser, "markup", "bob")
	lines := []string{
		`<script>window.hacked=1</script>`,
		`<img src=x onerror="window.hacked=2">`,
		`"><svg onload=window.hacked=3>`,
		`javascript:alert(1) &lt;b&gt; &amp;`,
		"\u202etxet\u202c <a href='//example.com'>x</a>",
	}
	for _, line := range lines {
		say(alice, line)
	}
	for _, tab := range []*browsertest.Tab{alice, bob} {
		waitTexts(tab, lines...)
		require.Zero(t, browsertest.Eval[int](tab, `document.querySelectorAll('.text *, #room-name *, .room-name *').length`))
		require.True(t, browsertest.Eval[bool](tab, `window.hacked === undefined`))
		tab.WaitText("#room-name", "<b>room</b>")
		tab.WaitText(".room-name", "<b>room</b>")
	}
}

func TestRefusedMessage(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	m.onMessage(func(c *mockMember, f clientFrame) bool {
		c.write(map[string]any{"type": "error", "code": "rate_limited", "detail": "at most 50 a second", "ref": f.Ref})
		return true
	})
	say(tab, "too fast")
	tab.WaitText("#pending .row[data-state=failed] .state", "Not sent: Too many messages at once. Wait a moment and try again.")
	say(tab, "not wanted")
	tab.Wait(`document.querySelectorAll('#pending .row[data-state=failed]').length === 2`)
	tab.Do(focus("#pending .row:last-child .discard"))
	tab.Press(kb.Enter)
	tab.Wait(`document.querySelectorAll('#pending .row').length === 1`)

	m.onMessage(nil)
	tab.Click("#pending .retry")
	waitTexts(tab, "too fast")
	tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
	sent := m.sent()
	require.Equal(t, sent[0].Ref, sent[len(sent)-1].Ref, "it is the same message")

	m.tell("general", "", map[string]any{"type": "error", "code": "unknown_type", "detail": "the server does not know this type"})
	tab.WaitText("#message-problem", "The server does not know this type.")
}

func TestMessageLength(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.Do(focus("#message"))
	tab.Press(kb.Enter)
	tab.Type("   " + kb.Enter)
	require.Empty(t, m.sent(), "nothing but blanks is not sent")

	full := strings.Repeat("𝄞", 4096) // Two UTF-16 units each: the limit is in characters.
	tab.Do(focus("#message"))
	browsertest.Eval[bool](tab, `(document.querySelector('#message').value = '', true)`)
	tab.Paste(full + "x")
	tab.WaitText(".counter.over", "-1")
	tab.Press(kb.Enter)
	tab.WaitText("#message-problem", "This is 1 character too long")
	require.Empty(t, m.sent())
	tab.Press(kb.Backspace)
	tab.Press(kb.Enter)
	eventually(t, func() bool { return len(m.sent()) == 1 }, "the full message")
	require.Equal(t, full, m.sent()[0].Text)
	tab.Wait(`document.querySelector('#messages .row').classList.contains('folded')`)
	tab.Click("#messages .unfold")
	tab.Wait(`!document.querySelector('#messages .row').classList.contains('folded')`)
}

// Who comes and goes is told in one line, not in one each.
func TestComingsAndGoings(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	for i := range 5 {
		joinAs(t, m, "general", fmt.Sprint("visitor-", i))
	}
	tab.WaitText(".presence", "visitor-0, visitor-1 and 3 others joined")
	tab.WaitText("#participants", "6 people here")
	tab.WaitText("#rooms [aria-current] .room-count", "6")
	_ = joinAs(t, m, "general", "brief").Close()
	tab.WaitText(".presence", "brief came and went")
	require.Equal(t, 1, browsertest.Eval[int](tab, `document.querySelectorAll('.presence').length`))
	// A second connection of someone who is here is nobody new.
	joinAs(t, m, "general", "visitor-0")
	m.say("general", "visitor-0", "done")
	waitTexts(tab, "done")
	tab.WaitText("#participants", "6 people here")
}
