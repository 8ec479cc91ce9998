package page

import (
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

func TestPickRoom(t *testing.T) {
	m := newMock(t, Config{})
	joinAs(t, m, "go", "gopher")
	joinAs(t, m, "go", "other")
	m.say("go", "gopher", "hi from go")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.WaitText(`#rooms a[data-room="go"] .room-count`, "2 people here")
	tab.WaitText(`#rooms a[aria-current="page"] .room-name`, "general")
	tab.Do(focus("#message"))
	tab.Paste("a draft for general")

	tab.Click(`#rooms a[data-room="go"]`)
	waitTexts(tab, "hi from go")
	tab.WaitText("#participants", "3 people here")
	tab.WaitText(`#rooms a[aria-current="page"] .room-name`, "go")
	require.Equal(t, "?room=go&name=alice", browsertest.Eval[string](tab, `location.search`))
	tab.Wait(`document.title === 'go · Traceroom' && document.querySelector('#message').value === ''`)
	eventually(t, func() bool { return m.participants("general") == 0 }, "left the other room")

	tab.Do(chromedp.NavigateBack())
	tab.WaitText("#room-name", "general")
	live(tab)
	tab.Wait(`document.querySelectorAll('#messages .row').length === 0 && document.querySelector('#message').value === 'a draft for general'`)
}

func TestCreateRoom(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.Click("#create-room")
	tab.Type("Test Room" + kb.Enter)
	live(tab)
	tab.WaitText("#room-name", "Test Room")
	tab.WaitText("#rooms [aria-current]", "Test Room")
	m.mu.Lock()
	require.Equal(t, "Test Room", m.rooms["test-room"].name)
	m.mu.Unlock()
	tab.Wait(`document.activeElement.id === 'message'`)

	tab.Click("#create-room")
	tab.Type("General" + kb.Enter)
	tab.WaitText(".divider.notice", "This room was there already")
	tab.WaitText("#room-name", "general")

	tab.Expect("503 (Service Unavailable)")
	tab.Click("#create-room")
	tab.Type("forbidden" + kb.Enter)
	tab.WaitText("#new-room .problem:not([hidden])", "The store is down.")
	tab.Do(focus("#new-room-id"))
	tab.Press("a", chromedp.ModifierCtrl)
	tab.Press(kb.Backspace)
	tab.Type("no spaces" + kb.Enter)
	tab.WaitText("#new-room .problem:not([hidden])", "Only letters")
	tab.Press(kb.Escape)
	tab.Wait(`!document.querySelector('dialog[open]')`)
}

func TestManyRooms(t *testing.T) {
	m := newMock(t, Config{})
	for i := range 300 {
		m.create("room-"+string(rune('a'+i%26))+"-"+randomHex(3), "")
	}
	m.create("needle", "The Needle")
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	tab.WaitText("#rooms-note", "104 rooms more")
	require.Equal(t, 200, browsertest.Eval[int](tab, `document.querySelectorAll('#rooms a').length`))
	tab.Click("#rooms-filter")
	tab.Type("needle")
	tab.Wait(`document.querySelectorAll('#rooms a').length === 1`)
	tab.Click("#rooms a")
	tab.WaitText("#room-name", "The Needle")
	live(tab)
}

// Without a room in the address it is the last one, if it is there still, else general.
func TestWhichRoom(t *testing.T) {
	m := newMock(t, Config{})
	tab := newVisitor(t, m, browsertest.Shared(t))
	tab.Open("/")
	tab.WaitText("#room-name", "general")
	live(tab)
	tab.Open("/?room=random")
	live(tab)
	tab.Open("/")
	tab.WaitText("#room-name", "random")
	live(tab)
	tab.Expect("404 (Not Found)") // the page may be asking for the room
	m.deleteRoom("random")
	tab.Wait(`!document.querySelector('#over').hidden`)
	tab.Open("/")
	tab.WaitText("#room-name", "general")
	live(tab)
	tab.Open("/?room=not%20a%20room")
	tab.WaitText("#room-name", "general")
	tab.WaitText(".divider.notice", "“not a room” cannot be a room")
	live(tab)
}

func TestName(t *testing.T) {
	m := newMock(t, Config{})
	browser := browsertest.Start(t)
	first := browsertest.NewTab(t, browser, m.origin())
	first.Open("/?room=general")
	live(first)
	friendly := browsertest.Eval[string](first, `document.querySelector('.me-name').textContent`)
	require.Regexp(t, regexp.MustCompile(`^[a-z]+-[a-z]+-\d\d$`), friendly)

	second := browsertest.NewTab(t, browser, m.origin())
	second.Open("/?room=general")
	live(second)
	second.WaitText(".me-name", friendly)
	require.Equal(t, 1, m.participants("general"), "two tabs under one name are one participant")

	second.Click("#me")
	second.Paste("not ok!")
	second.Press(kb.Enter)
	second.WaitText("#who .problem:not([hidden])", "Only letters")
	second.Press("a", chromedp.ModifierCtrl)
	second.Paste("..")
	second.Press(kb.Enter)
	second.WaitText("#who .problem:not([hidden])", "Dots alone cannot be used")
	second.Press("a", chromedp.ModifierCtrl)
	second.Paste("Zoë.2"[:2] + "e.2")
	second.Press(kb.Enter)
	second.WaitText(".me-name", "Zoe.2")
	first.WaitText(".presence", "Zoe.2 joined")
	live(second)

	second.Open("/?room=general")
	second.WaitText(".me-name", "Zoe.2")
	live(second)
	second.Open("/?room=general&name=visitor")
	second.WaitText(".me-name", "visitor")
	live(second)
	second.Open("/?room=general")
	second.WaitText(".me-name", "Zoe.2")
	live(second)
}

func TestCopyLink(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "go", "alice")
	tab.Click("#share")
	tab.WaitText("#announcer", "Link to this room copied")
	tab.Do(focus("#message"))
	tab.Press("v", chromedp.ModifierCtrl)
	if browsertest.Eval[string](tab, `document.querySelector('#message').value`) == "" {
		tab.Do(pasteCommand())
	}
	tab.Wait(`document.querySelector('#message').value === location.origin + '/?room=go'`)
}
