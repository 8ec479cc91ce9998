package page

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// lastSince returns the since of the newest handshake; empty if it had none.
func (m *mock) lastSince(t *testing.T) string {
	t.Helper()
	dials := m.dialled()
	u, err := url.Parse(dials[len(dials)-1])
	require.NoError(t, err)
	return u.Query().Get("since")
}

// waitDials waits until there were n handshakes and the newest is open.
func (m *mock) waitDials(t *testing.T, tab *browsertest.Tab, n int) {
	t.Helper()
	eventually(t, func() bool { return len(m.dialled()) >= n }, fmt.Sprint(n, " handshakes"))
	live(tab)
}

// The server goes away and comes back on the same port: the page says so, comes back by itself, shows what it missed
// and nothing twice, and sends what was typed in between.
func TestServerRestarts(t *testing.T) {
	m := newMock(t, Config{})
	for i := range 3 {
		m.say("general", "bob", fmt.Sprint("before ", i))
	}
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	expectOutage(tab)
	waitTexts(tab, "before 0", "before 1", "before 2")
	require.Empty(t, m.lastSince(t), "the first time there is nothing to resume")

	m.stop()
	tab.Wait(`!document.querySelector('#banner').hidden`)
	tab.WaitText("#status", "Reconnecting")
	tab.WaitText("#banner", "Trying again")
	say(tab, "while away")
	tab.WaitText("#pending .state", "Waiting for the connection")
	m.say("general", "bob", "missed 0")
	m.say("general", "bob", "missed 1")
	m.start()
	live(tab)
	waitTexts(tab, "before 0", "before 1", "before 2", "missed 0", "missed 1", "while away")
	require.Equal(t, "3", m.lastSince(t))
	tab.WaitText(".divider.notice", "2 messages caught up")
	tab.Wait(`document.querySelector('#banner').hidden && document.querySelectorAll('#pending .row').length === 0`)
	m.say("general", "bob", "after")
	waitTexts(tab, "before 0", "before 1", "before 2", "missed 0", "missed 1", "while away", "after")
}

func TestTryNow(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	expectOutage(tab)
	m.stop()
	tab.Wait(`/in \d+\s/.test(document.querySelector('.countdown').textContent) && parseInt(document.querySelector('.countdown').textContent.match(/\d+/)[0]) >= 3`)
	m.start()
	tab.Click("#banner button")
	m.waitDials(t, tab, 2)
	tab.WaitText("#status", "Live")
}

// A message whose echo did not come before the connection broke is sent again, under the ref that the server may know it by,
// and stands in the room once.
func TestMessageLost(t *testing.T) {
	for name, stored := range map[string]bool{"on the way there": false, "on the way back": true} {
		t.Run(name, func(t *testing.T) {
			m := newMock(t, Config{})
			tab := visit(t, m, browsertest.Shared(t), "general", "alice")
			lose := true
			m.onMessage(func(c *mockMember, f clientFrame) bool {
				if !lose {
					return false
				}
				lose = false
				c.close(0)
				delete(m.members, c)
				if stored {
					m.sayLocked(nil, "general", "alice", f)
				}
				return true
			})
			say(tab, "lost")
			m.waitDials(t, tab, 2)
			waitTexts(tab, "lost")
			tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
			tab.Wait(`document.querySelector('#messages .row').classList.contains('own')`)
			sent := m.sent()
			require.Len(t, sent, 2)
			require.Equal(t, sent[0], sent[1])
			m.say("general", "bob", "end")
			waitTexts(tab, "lost", "end")
		})
	}
}

// A message that had no echo for so long that the server may have forgotten it is said to be unconfirmed, and is another one
// when it is sent again.
func TestMessageUnconfirmed(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Do(beforeLoad(hurry(540_000, 1_000)))
	tab.Open("/?room=general&name=alice")
	live(tab)
	m.onMessage(func(*mockMember, clientFrame) bool { return true })
	say(tab, "lost")
	tab.WaitText("#pending .row[data-state=unconfirmed] .state", "Not confirmed")
	m.onMessage(nil)
	tab.Click("#pending .retry")
	waitTexts(tab, "lost")
	tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
	sent := m.sent()
	require.NotEqual(t, sent[0].Ref, sent[len(sent)-1].Ref)
}

// Under another name nothing is sent again: to the server it would be another message.
func TestMessageOfAnotherName(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	m.onMessage(func(*mockMember, clientFrame) bool { return true })
	say(tab, "unanswered")
	eventually(t, func() bool { return len(m.sent()) == 1 }, "the message")
	tab.Click("#me")
	browsertest.Eval[bool](tab, `(document.querySelector('#who-name').value = 'carol', true)`)
	tab.Press(kb.Enter)
	tab.WaitText("#pending .row[data-state=unconfirmed]", "unanswered")
	require.Len(t, m.sent(), 1)
}

// hurry makes timers of the page that take ms milliseconds take fewer, so that the test need not wait for them.
func hurry(ms, fewer int) string {
	return fmt.Sprintf(`(() => {
		const real = window.setTimeout;
		window.setTimeout = (f, ms, ...args) => real(f, ms === %d ? %d : ms, ...args);
	})()`, ms, fewer)
}

// A connection that looks open but answers nothing is given up for another.
func TestNoAnswer(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Do(beforeLoad(hurry(10_000, 1_500)))
	tab.Open("/?room=general&name=alice")
	live(tab)
	dials := len(m.dialled())
	answers := false
	m.onMessage(func(*mockMember, clientFrame) bool {
		answers = !answers
		return answers
	})
	say(tab, "into the void")
	waitTexts(tab, "into the void")
	tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
	require.Greater(t, len(m.dialled()), dials)
	live(tab)
}

// What comes twice is shown once.
func TestRepeatedMessage(t *testing.T) {
	m := newMock(t, Config{})
	first := m.say("general", "bob", "once")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	second := m.say("general", "bob", "twice")
	m.tell("general", "", first)
	m.tell("general", "", second)
	m.tell("general", "", map[string]any{"type": "history", "room_id": "general", "messages": []message{first, second}})
	m.say("general", "bob", "end")
	waitTexts(tab, "once", "twice", "end")
}

// Close codes say what to do next.
func TestCloseCodes(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	m.say("general", "bob", "seen")
	waitTexts(tab, "seen")
	for i, code := range []int{websocket.CloseGoingAway, 4008, websocket.CloseInternalServerErr} {
		m.closeAll(code)
		m.waitDials(t, tab, i+2)
		require.Equal(t, "1", m.lastSince(t), "after %d", code)
	}
	waitTexts(tab, "seen")

	outcast := newVisitor(t, m, browsertest.Shared(t))
	outcast.Open("/?room=general&name=outcast")
	outcast.WaitText("#over:not([hidden])", "You cannot be in this room")
	outcast.Wait(`document.querySelector('#over .again').hidden && document.querySelector('#message').disabled`)
	require.Equal(t, 1, strings.Count(strings.Join(m.dialled(), "\n"), "/outcast"), "it does not come back")
}

func TestRoomDeleted(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "doomed", "alice")
	m.say("doomed", "bob", "last words")
	waitTexts(tab, "last words")
	tab.Expect("404 (Not Found)") // the page may be asking for the room
	m.deleteRoom("doomed")
	tab.WaitText("#over:not([hidden])", "This room was deleted")
	tab.WaitText("#status", "Closed")
	tab.Wait(`![...document.querySelectorAll('#rooms a')].some((a) => a.dataset.room === 'doomed')`)
	require.Equal(t, "?name=alice", browsertest.Eval[string](tab, `location.search`), "loading the page again must not create the room again")
	require.Len(t, m.dialled(), 1, "it does not come back")

	tab.Click("#over .again")
	live(tab)
	tab.WaitText("#empty:not([hidden])", "No messages yet")
	tab.Wait(`document.querySelector('#over').hidden && !document.querySelector('#message').disabled`)
	require.Empty(t, m.lastSince(t), "a new room begins anew")
	say(tab, "first words")
	waitTexts(tab, "first words")

	m.deleteRoom("doomed")
	tab.Wait(`!document.querySelector('#over').hidden`)
	tab.Click("#over .elsewhere")
	live(tab)
	tab.WaitText("#room-name", "general")
}

// A room that was deleted and created again while the page was away begins anew, whether it is behind where the page
// was or beyond.
func TestRoomBeginsAnew(t *testing.T) {
	for name, since := range map[string]int{"behind": 2, "beyond": 5} {
		t.Run(name, func(t *testing.T) {
			m := newMock(t, Config{})
			for i := range 3 {
				m.say("general", "bob", fmt.Sprint("old ", i))
			}
			tab := visit(t, m, browsertest.Shared(t), "general", "alice")
			expectOutage(tab)
			waitTexts(tab, "old 0", "old 1", "old 2")
			m.stop()
			m.deleteRoom("general")
			var want []string
			for i := range since {
				want = append(want, fmt.Sprint("new ", i))
				m.say("general", "bob", want[i])
			}
			m.start()
			waitTexts(tab, want...)
			tab.WaitText(".divider.notice", "It begins anew")
			live(tab)
		})
	}
}

// More was missed than the server sends: the page says that there is a gap.
func TestTruncated(t *testing.T) {
	m := newMock(t, Config{})
	m.say("general", "bob", "before")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	expectOutage(tab)
	waitTexts(tab, "before")
	m.stop()
	for i := range 1200 {
		m.say("general", "bob", fmt.Sprint("missed ", i))
	}
	m.start()
	tab.WaitText(".text", "missed 1199")
	tab.Wait(`!document.querySelector('#older').hidden`)
	require.NotContains(t, texts(tab), "before")
}

// Leaving a room for another takes along nothing, and what was on its way is there again on coming back.
func TestLeaveWithMessagesOnTheirWay(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	m.onMessage(func(*mockMember, clientFrame) bool { return true })
	say(tab, "unanswered")
	tab.WaitText("#pending .text", "unanswered")
	tab.Click(`#rooms a[data-room="go"]`)
	tab.WaitText("#room-name", "go")
	live(tab)
	tab.Wait(`document.querySelectorAll('#pending .row').length === 0`)
	tab.Click(`#rooms a[data-room="general"]`)
	tab.WaitText("#pending .row[data-state=sending]", "unanswered")
	eventually(t, func() bool { return len(m.sent()) == 2 }, "it was sent again")
	sent := m.sent()
	require.Equal(t, sent[0], sent[1])
}
