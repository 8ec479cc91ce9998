package page

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// picture is a state of the page, worth looking at.
type picture struct {
	name          string
	readme        bool
	width, height int
	dark          bool
	show          func(t *testing.T, m *mock, tab *browsertest.Tab)
}

// TestPictures takes pictures of the page: the README's into the folder that PAGE_PICTURES names, if it does, and all
// others too if PAGE_PICTURES_ALL is not empty. That each state can be reached and shown is what it tests.
func TestPictures(t *testing.T) {
	folder, all := os.Getenv("PAGE_PICTURES"), os.Getenv("PAGE_PICTURES_ALL") != ""
	if folder == "" {
		folder, all = t.TempDir(), true
	}
	const wide, high, narrow, tall = 1280, 800, 390, 844
	pictures := []picture{
		{name: "screenshot-light", readme: true, width: wide, height: high, show: busy},
		{name: "screenshot-dark", readme: true, width: wide, height: high, dark: true, show: busy},
		{name: "busy-narrow-light", width: narrow, height: tall, show: busy},
		{name: "busy-narrow-dark", width: narrow, height: tall, dark: true, show: busy},
		{name: "busy-360", width: 360, height: 740, show: busy},
		{name: "empty-light", width: wide, height: high, show: empty},
		{name: "empty-dark", width: wide, height: high, dark: true, show: empty},
		{name: "empty-narrow", width: narrow, height: tall, show: empty},
		{name: "reconnecting-light", width: wide, height: high, show: reconnecting},
		{name: "reconnecting-dark", width: wide, height: high, dark: true, show: reconnecting},
		{name: "reconnecting-narrow", width: narrow, height: tall, show: reconnecting},
		{name: "trouble-light", width: wide, height: high, show: trouble},
		{name: "trouble-narrow-dark", width: narrow, height: tall, dark: true, show: trouble},
		{name: "deleted-light", width: wide, height: high, show: deleted},
		{name: "new-room-light", width: wide, height: high, show: newRoom},
		{name: "new-room-narrow-dark", width: narrow, height: tall, dark: true, show: newRoom},
		{name: "drawer-narrow", width: narrow, height: tall, show: drawer},
		{name: "scrolled-light", width: wide, height: high, show: scrolled},
		{name: "keyboard-light", width: wide, height: high, show: keyboard},
		{name: "name-dark", width: wide, height: high, dark: true, show: name},
	}
	browser := browsertest.Start(t)
	for _, p := range pictures {
		if !p.readme && !all {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			png := take(t, browser, p)
			require.NoError(t, os.WriteFile(filepath.Join(folder, p.name+".png"), png, 0o644))
		})
	}
}

func take(t *testing.T, browser context.Context, p picture) []byte {
	t.Helper()
	m := newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})
	tab := newVisitor(t, m, browser)
	scheme := "light"
	if p.dark {
		scheme = "dark"
	}
	tab.Prefer("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce")
	tab.Resize(p.width, p.height, 2)
	p.show(t, m, tab)
	settle(tab)
	return tab.Screenshot()
}

// settle waits until what was asked to be drawn is.
func settle(tab *browsertest.Tab) {
	browsertest.Eval[bool](tab, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
		Promise.all(document.getAnimations().map((a) => a.effect.getComputedTiming().iterations === 1 ? a.finished : 0)).then(() => done(true)))))`)
}

// fill gives the mock rooms, people and a conversation.
func fill(t *testing.T, m *mock) {
	t.Helper()
	at := time.Now().Truncate(time.Minute).Add(-26 * time.Minute)
	if y, d := time.Now().YearDay(), at.YearDay(); y != d {
		at = time.Now().Truncate(24 * time.Hour) // Shortly after midnight: all of it today.
	}
	m.now = func() time.Time { return at }
	for _, r := range [][2]string{{"deploys", "Deploys"}, {"incident-2481", "Incident 2481"}, {"lunch", "Lunch"}, {"observability", "Observability"}} {
		m.create(r[0], r[1])
	}
	for _, line := range []struct {
		minutes      int
		client, text string
	}{
		{0, "mara", "Morning. Anyone else seeing checkout slow down since the 9:40 deploy?"},
		{1, "jonas.k", "Yes, p99 went from 80 ms to 2.1 s."},
		{0, "jonas.k", "Only the writes. Reads are as flat as ever."},
		{3, "ines", "I have a slow one here. 1.9 s of it is a single append, and the span before it is 40 µs:"},
		{0, "ines", "append        1 912 ms\nbroadcast         3 ms\ndeliver           1 ms"},
		{4, "mara", "So it waits for the disk. Did the volume change?"},
		{2, "deploy-bot", "checkout 4.12.0 is out in eu-west: 3 of 3 instances healthy"},
		{5, "jonas.k", "It did, the new instances are on the small disks. 120 IOPS."},
		{1, "calm-otter-42", "Moving them back. Ten minutes."},
		{6, "calm-otter-42", "Done. The next message should be quick again."},
		{1, "ines", "0.8 ms, from frame to last write. Thank you!"},
		{0, "mara", "👏"},
	} {
		at = at.Add(time.Duration(line.minutes) * time.Minute)
		m.say("observability", line.client, line.text)
	}
	for _, p := range [][2]string{
		{"observability", "mara"}, {"observability", "jonas.k"}, {"observability", "ines"}, {"observability", "deploy-bot"},
		{"general", "mara"}, {"general", "tom"}, {"general", "ines"}, {"general", "li"}, {"general", "ana"},
		{"deploys", "deploy-bot"}, {"deploys", "jonas.k"}, {"go", "li"}, {"go", "ana"}, {"go", "tom"},
	} {
		joinAs(t, m, p[0], p[1])
	}
}

func busy(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "👏")
	joinAs(t, m, "observability", "priya")
	tab.WaitText(".presence", "priya joined")
	m.say("observability", "priya", "Late to this: is there a write-up? I want the trace in it.")
	tab.WaitText(".text", "write-up")
	m.tell("observability", "", map[string]any{"type": "typing", "client_id": "mara", "room_id": "observability"})
	tab.WaitText("#typing", "mara is typing")
	if browsertest.Eval[bool](tab, `innerWidth > 800`) {
		tab.Click("#message")
		tab.Paste("I will write one this afternoon")
	}
}

func empty(_ *testing.T, _ *mock, tab *browsertest.Tab) {
	tab.Open("/?room=general&name=calm-otter-42")
	live(tab)
	tab.WaitText("#participants .number", "1")
}

func reconnecting(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	expectOutage(tab)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "👏")
	m.stop()
	tab.Wait(`!document.querySelector('#banner').hidden`)
	tab.Click("#message")
	tab.Paste("Is it only me, or is it quiet here?")
	tab.Press("\r")
	tab.WaitText("#pending .state", "Waiting for the connection")
	tab.Wait(`/in [3-9] s/.test(document.querySelector('.countdown').textContent)`)
}

func trouble(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	expectOutage(tab)
	m.onMessage(func(c *mockMember, f clientFrame) bool {
		if f.Text == "This one is lost on the way." {
			c.close(0)
		} else {
			c.write(map[string]any{"type": "error", "code": "rate_limited", "detail": "at most 50 a second", "ref": f.Ref})
		}
		return true
	})
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "👏")
	tab.Click("#message")
	tab.Paste("This one is lost on the way.")
	tab.Press("\r")
	tab.WaitText("#pending .state", "Not confirmed")
	live(tab)
	tab.Paste("And this one was refused.")
	tab.Press("\r")
	tab.WaitText("#pending .state", "Not sent")
}

func deleted(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	m.deleteRoom("observability")
	tab.Wait(`!document.querySelector('#over').hidden`)
}

func newRoom(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	busy(t, m, tab)
	if browsertest.Eval[bool](tab, `innerWidth < 768`) {
		tab.Click("#open-sidebar")
	}
	tab.Click("#create-room")
	tab.Type("Über uns 2")
	tab.Wait(`document.querySelector('#new-room-id').value === 'uber-uns-2'`)
}

func name(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	busy(t, m, tab)
	tab.Click("#me")
	tab.Paste("me & you")
	tab.Press("\r")
	tab.WaitText("#who .problem", "Only letters")
}

func drawer(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	busy(t, m, tab)
	tab.Click("#open-sidebar")
}

func scrolled(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	for range 3 {
		m.say("observability", "tom", "For the record, the dashboard is at the usual place, and the alert that should have told us fired at 9:52.")
		m.say("observability", "li", "And was read at 10:05.")
	}
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "10:05")
	tab.Do(wheel(640, 300, -400))
	tab.Wait(`document.querySelector('#log').scrollTop < document.querySelector('#log').scrollHeight - document.querySelector('#log').clientHeight - 100`)
	m.say("observability", "mara", "One more")
	m.say("observability", "mara", "And another")
	tab.WaitText("#pill", "2 new messages")
}

func keyboard(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "👏")
	tab.Do(focus("#log"))
	for range 4 {
		tab.Press(keyUp)
	}
}
