package page

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
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

// TestPictures takes pictures of the page: the README's, into the folder that PAGE_PICTURES (a full path) names, and all
// others too if PAGE_PICTURES_ALL is not empty, for whoever changes how the page looks.
func TestPictures(t *testing.T) {
	folder, all := os.Getenv("PAGE_PICTURES"), os.Getenv("PAGE_PICTURES_ALL") != ""
	if folder == "" {
		folder = t.TempDir()
	}
	const wide, high, narrow, tall = 1280, 800, 390, 844
	pictures := []picture{
		{name: "screenshot-light", readme: true, width: wide, height: high, show: busy},
		{name: "screenshot-dark", readme: true, width: wide, height: high, dark: true, show: busy},
		{name: "traces-light", readme: true, width: 1440, height: 900, show: trace},
		{name: "traces-dark", readme: true, width: 1440, height: 900, dark: true, show: trace},
		{name: "traces-list-light", width: 1440, height: 900, show: traces},
		{name: "traces-list-narrow-dark", width: narrow, height: tall, dark: true, show: traces},
		{name: "trace-narrow-light", width: narrow, height: tall, show: trace},
		{name: "trace-1100", width: 1100, height: 760, show: trace},
		{name: "trace-failed-light", width: 1440, height: 900, show: failedTrace},
		{name: "traces-empty-dark", width: 1440, height: 900, dark: true, show: noTraces},
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
		{name: "torture-narrow", width: 360, height: tall, show: torture},
		{name: "torture-light", width: wide, height: high, show: torture},
		{name: "name-dark", width: wide, height: high, dark: true, show: name},
	}
	browser := browsertest.Shared(t)
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
	tab.Do(morning())
	p.show(t, m, tab)
	settle(tab)
	return tab.Screenshot()
}

// morning makes it ten o'clock where the browser is. (The names of these time zones count to the west, as far as twelve hours.)
func morning() chromedp.Action[chromedp.Void] {
	west := time.Now().UTC().Hour() - 10
	if west > 12 {
		west -= 24
	}
	zone := fmt.Sprintf("Etc/GMT%+d", west)
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
		return err
	})
}

// settle waits until what was asked to be drawn is, and brings what moves to its end.
func settle(tab *browsertest.Tab) {
	browsertest.Eval[bool](tab, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
		for (const a of document.getAnimations()) if (a.effect.getComputedTiming().iterations === 1) a.finish();
		requestAnimationFrame(() => done(true));
	})))`)
}

// fill gives the mock rooms, people and a conversation.
func fill(t *testing.T, m *mock) {
	t.Helper()
	at := time.Now().Truncate(time.Hour) // Shown as ten o'clock.
	m.now = func() time.Time { return at }
	for _, r := range [][2]string{{"deploys", "Deploys"}, {"incident-2481", "Incident 2481"}, {"lunch", "Lunch"}, {"observability", "Observability"}} {
		m.create(r[0], r[1])
	}
	for _, line := range []struct {
		minutes      int
		client, text string
	}{
		{0, "lena", "Morning. Anyone else seeing checkout slow down since the 9:40 deploy?"},
		{1, "jonas", "Yes, p99 went from 80 ms to 2.1 s. Only the writes, reads are as flat as ever."},
		{3, "marco", "I have a slow one here: 1.9 s of it is a single append. The span before it takes 40 µs."},
		{4, "lena", "So it waits for the disk. Did the volume change?"},
		{2, "ci-bot", "checkout 4.12.0 is out in eu-west: 3 of 3 instances healthy"},
		{5, "jonas", "It did, the new instances are on the small disks. 120 IOPS."},
		{1, "calm-otter-42", "Moving them back."},
		{4, "calm-otter-42", "Done. The next message should be quick again."},
		{1, "marco", "0.8 ms, from frame to last write. Thank you!"},
	} {
		at = at.Add(time.Duration(line.minutes) * time.Minute)
		m.say("observability", line.client, line.text)
	}
	for _, p := range [][2]string{
		{"observability", "lena"}, {"observability", "jonas"}, {"observability", "marco"}, {"observability", "ci-bot"},
		{"general", "lena"}, {"general", "tom"}, {"general", "marco"}, {"general", "li"}, {"general", "ana"},
		{"deploys", "ci-bot"}, {"deploys", "jonas"}, {"go", "li"}, {"go", "ana"}, {"go", "tom"},
	} {
		joinAs(t, m, p[0], p[1])
	}
}

func busy(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "frame to last write")
	joinAs(t, m, "observability", "priya")
	tab.WaitText(".presence", "priya joined")
	m.say("observability", "priya", "Late to this: is there a write-up? I want the trace in it.")
	tab.WaitText(".text", "write-up")
	if browsertest.Eval[bool](tab, `innerWidth > 800`) {
		tab.Click("#message")
		tab.Paste("I will write one this afternoon")
	}
	eventually(t, func() bool { // The notice goes away by itself: on a slow machine before it is seen.
		m.tell("observability", "", map[string]any{"type": "typing", "client_id": "lena", "room_id": "observability"})
		return browsertest.Eval[bool](tab, `document.querySelector('#typing').textContent.includes('lena is typing')`)
	}, "typing notice")
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
	tab.WaitText("#messages", "frame to last write")
	m.stop()
	tab.Wait(`!document.querySelector('#banner').hidden`)
	tab.Click("#message")
	tab.Paste("Is it only me, or is it quiet here?")
	tab.Press("\r")
	tab.WaitText("#pending .state", "Waiting for the connection")
	tab.Wait(`/in [3-9]\s/.test(document.querySelector('.countdown').textContent)`)
}

func trouble(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	expectOutage(tab)
	m.onMessage(func(c *mockMember, f clientFrame) bool {
		if f.Text != "This one is lost on the way." {
			c.write(map[string]any{"type": "error", "code": "rate_limited", "detail": "at most 50 a second", "ref": f.Ref})
		}
		return true
	})
	tab.Do(beforeLoad(hurry(540_000, 100)))
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "frame to last write")
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
	tab.Expect("404 (Not Found)") // the page may be asking for the room
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
	m.say("observability", "lena", "One more")
	m.say("observability", "lena", "And another")
	tab.WaitText("#pill", "2 new messages")
}

func keyboard(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	fill(t, m)
	tab.Open("/?room=observability&name=calm-otter-42")
	live(tab)
	tab.WaitText("#messages", "frame to last write")
	tab.Do(focus("#log"))
	for range 4 {
		tab.Press(keyUp)
	}
}

func torture(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	long := strings.Repeat("w", 64)
	m.create("longest", strings.Repeat("The longest name ", 7))
	m.say("longest", long, strings.Repeat("unbroken", 40))
	m.say("longest", long, "second, in the same group")
	m.say("longest", "rtl", "שלום עולם, this is both ways")
	m.say("longest", "x", "<b>not bold</b> &amp; <script>alert(1)</script>")
	m.say("longest", "lines", strings.Repeat("a line\n", 60))
	tab.Open("/?room=longest&name=" + long)
	live(tab)
	tab.WaitText("#messages", "a line")
	for i := range 5 {
		joinAs(t, m, "longest", fmt.Sprint("someone-", i))
	}
	tab.WaitText(".presence", "3 others")
}

// tell gives the mock the traces of what was said in the room, and of what else a server is asked.
func tell(t *testing.T, m *mock) {
	t.Helper()
	now := m.now()
	m.traces.put(connectTrace, now.Add(-24*time.Minute), about("", "observability", "lena", 17), connected()...)
	m.mu.Lock()
	messages := m.rooms["observability"].messages
	m.mu.Unlock()
	people := map[string]int{"lena": 17, "jonas": 12, "marco": 14, "ci-bot": 9, "calm-otter-42": 21, "priya": 23}
	for i, said := range messages {
		took := []float64{873, 2140, 1.9e6, 2210, 760, 1910, 1020, 884, 640, 1130}[i%10]
		id := strings.Split(said.Traceparent, "-")[1]
		m.traces.put(id, time.UnixMilli(said.Timestamp), about("message", "observability", said.ClientID, people[said.ClientID]), received(took, took-160, 180+min(took, 2000)/9)...)
		if i%3 == 1 {
			m.traces.put(traceID(100+i), time.UnixMilli(said.Timestamp).Add(-4*time.Second), about("typing", "observability", said.ClientID, people[said.ClientID]),
				mockSpan{operation: "receive", name: "receive room/{room}", kind: "consumer", module: "rooms", took: 38 + float64(i)})
		}
	}
	at := time.UnixMilli(messages[len(messages)-1].Timestamp)
	m.traces.put(traceID(1), at.Add(-time.Second), about("", "observability", "priya", 23), connected()...)
	m.traces.put(traceID(2), at.Add(-70*time.Second), about("message", "deploys", "ci-bot", 9),
		mockSpan{operation: "receive", name: "receive room/{room}", kind: "consumer", module: "rooms", took: 10_000_310, failed: "the store does not answer", link: connectTrace},
		mockSpan{operation: "append", name: "append", kind: "client", module: "store", depth: 1, from: 44, took: 9_999_870, failed: "the store does not answer",
			attributes: map[string]any{"traceroom.batch.size": 1, "error.type": "unavailable", "messaging.destination.name": "deploys"}})
	m.traces.put(traceID(3), at.Add(-2*time.Second), map[string]any{"kind": "requests", "operation": "GET /rooms/{room_id}", "thread": "http", "room": "observability"},
		mockSpan{operation: "GET /rooms/{room_id}", name: "GET /rooms/{room_id}", kind: "server", module: "http", took: 412})
	m.traces.put(traceID(4), at.Add(-3*time.Minute), about("", "", "", 8), mockSpan{operation: "disconnect", name: "disconnect", kind: "internal", module: "web", took: 14})
	m.traces.put(traceID(5), at.Add(-3*time.Minute), about("", "observability", "tom", 8), mockSpan{operation: "leave", name: "leave room/{room}", kind: "internal", module: "rooms", took: 96})
	open := received(310, 190, 900)
	open[3].open = true
	m.traces.put(traceID(6), at.Add(time.Second), about("message", "deploys", "jonas", 12), open...)
}

func traces(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	busy(t, m, tab)
	tell(t, m)
	tab.Click("#open-traces")
	tab.Wait(`document.querySelectorAll('#traces-list li').length > 15`)
	tab.WaitText("#numbers .p50", "µs")
}

func trace(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	busy(t, m, tab)
	tell(t, m)
	browsertest.Eval[bool](tab, `([...document.querySelectorAll('#messages .row')].find((e) => e.textContent.includes('frame to last write')).querySelector('.trace-show').click(), true)`)
	tab.WaitText(".trace-title", "receive message")
	tab.Wait(`document.querySelectorAll('#traces-list li').length > 15`)
	tab.Do(focus(".spans li"))
	browsertest.Eval[bool](tab, `(document.querySelector('#message').focus(), true)`)
}

func failedTrace(t *testing.T, m *mock, tab *browsertest.Tab) {
	t.Helper()
	traces(t, m, tab)
	tab.Click(`#traces-list [data-trace-id="` + traceID(2) + `"] a`)
	tab.WaitText(".trace-facts .failed", "2 spans failed")
	browsertest.Eval[bool](tab, `(document.querySelector('.spans li:nth-of-type(2)').click(), true)`)
	tab.WaitText(".span-error", "does not answer")
}

func noTraces(_ *testing.T, _ *mock, tab *browsertest.Tab) {
	tab.Open("/?room=general&name=calm-otter-42&traces=1")
	live(tab)
	tab.WaitText("#traces-empty", "No traces yet")
}
