package page

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// traceID is a trace id that is not to be mistaken for another.
func traceID(n int) string { return fmt.Sprintf("%08x", 0xabc00000+n) + strings.Repeat("0", 24) }

// story gives the mock traces of every sort, and returns the trace of the message that stands in the log.
func story(t *testing.T, m *mock) (messageTrace string) {
	t.Helper()
	at := m.now()
	m.traces.put(connectTrace, at.Add(-9*time.Minute), about("", "observability", "lena", 17), connected()...)
	said := m.say("observability", "lena", "Moving them back. The next message should be quick again.")
	messageTrace = strings.Split(said.Traceparent, "-")[1]
	m.traces.put(messageTrace, at, about("message", "observability", "lena", 17), received(902, 741, 390)...)
	connection, _ := m.traces.get(connectTrace)
	connection["linked_from"] = []any{map[string]any{
		"trace_id": messageTrace, "span_id": messageTrace[:14] + "00", "to_span_id": connectTrace[:14] + "00", "name": "receive room/{room}",
		"operation": "receive", "event": "message", "room": "observability", "start_micros": at.UnixMicro(), "duration_micros": 902,
	}}
	connection["linked_from_count"] = 1
	m.traces.put(traceID(1), at.Add(-time.Second), about("typing", "observability", "jonas", 12),
		mockSpan{operation: "receive", name: "receive room/{room}", kind: "consumer", module: "rooms", took: 9})
	m.traces.put(traceID(2), at.Add(-2*time.Second), about("message", "deploys", "ci-bot", 9),
		mockSpan{operation: "receive", name: "receive room/{room}", kind: "consumer", module: "rooms", took: 10_000_000, failed: "the store does not answer"},
		mockSpan{operation: "append", name: "append", kind: "client", module: "store", depth: 1, from: 44, took: 9_999_000, failed: "the store does not answer"})
	m.traces.put(traceID(3), at.Add(-3*time.Second), map[string]any{"kind": "requests", "operation": "GET /rooms", "thread": "http"},
		mockSpan{operation: "GET /rooms", name: "GET /rooms", kind: "server", module: "http", took: 640})
	return messageTrace
}

// watching opens the page with its panel.
func watching(t *testing.T, m *mock, browser context.Context, query string) *browsertest.Tab {
	t.Helper()
	tab := newVisitor(t, m, browser)
	tab.Prefer("prefers-reduced-motion", "reduce")
	tab.Open("/?room=observability&name=calm-otter-42&" + query)
	live(tab)
	tab.WaitText("#traces-state", "Live")
	return tab
}

func listed(tab *browsertest.Tab) []string {
	return browsertest.Eval[[]string](tab, `[...document.querySelectorAll('#traces-list .what')].map((e) => e.textContent)`)
}

func TestTracePanel(t *testing.T) {
	browser := browsertest.Shared(t)
	for name, test := range map[string]func(t *testing.T, m *mock){
		"from a message to its trace, its connection and back": func(t *testing.T, m *mock) {
			trace := story(t, m)
			tab := newVisitor(t, m, browser)
			tab.Open("/?room=observability&name=calm-otter-42")
			live(tab)
			tab.WaitText("#messages .text", "Moving them back")
			require.True(t, browsertest.Eval[bool](tab, `document.querySelector('#panel').hidden`))
			tab.Click("#messages .trace-show")
			tab.WaitText(".trace-title", "receive message")
			require.Equal(t, "1:receive 2:append 2:broadcast 3:deliver", browsertest.Eval[string](tab,
				`[...document.querySelectorAll('.spans li')].map((e) => e.ariaLevel + ':' + e.querySelector('.span-name').textContent).join(' ')`))
			require.True(t, browsertest.Eval[bool](tab, `document.querySelector('#messages .row.traced') !== null`))
			require.Contains(t, browsertest.Eval[string](tab, `location.search`), "trace="+trace)
			tab.Click(".span-view .follow")
			tab.WaitText(".trace-title", "connect")
			tab.WaitText(".from h5", "Linked from 1 span")
			tab.Click(".from .follow")
			tab.WaitText(".trace-title", "receive message")
			// The browser's back button goes the way back.
			tab.Do(back())
			tab.WaitText(".trace-title", "connect")
			tab.Click(".all-of")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 2`)
			tab.Click("#trace-connection")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
		},
		"by keys alone": func(t *testing.T, m *mock) {
			story(t, m)
			tab := newVisitor(t, m, browser)
			tab.Open("/?room=observability&name=calm-otter-42")
			live(tab)
			tab.Press(".", chromedp.ModifierCtrl)
			tab.Wait(`document.activeElement.name === 'text' && document.querySelectorAll('#traces-list li').length === 5`)
			require.Equal(t, "receive message", listed(tab)[0], "the newest first")
			tab.Press(kb.ArrowDown)
			tab.Press(kb.ArrowDown)
			tab.Press(kb.ArrowDown)
			tab.Wait(`document.activeElement.closest('li')?.dataset.traceId === '` + traceID(2) + `'`)
			visibleFocus(t, tab)
			tab.Press(kb.Enter)
			tab.Wait(`document.activeElement.classList.contains('trace-title')`)
			tab.WaitText(".trace-facts .failed", "2 spans failed")
			browsertest.Eval[bool](tab, `(document.querySelector('.spans li').focus(), true)`)
			tab.Press(kb.ArrowDown)
			tab.Wait(`document.activeElement.ariaSelected === 'true' && document.activeElement.textContent.startsWith('append')`)
			visibleFocus(t, tab)
			tab.WaitText(".span-error", "the store does not answer")
			require.Contains(t, browsertest.Eval[string](tab, `location.search`), "span=")
			tab.Press("p")
			tab.WaitText("#traces-state", "Paused")
			tab.Press("p")
			tab.WaitText("#traces-state", "Live")
			tab.Press("/")
			tab.Wait(`document.activeElement.name === 'text'`)
			tab.Press(kb.Escape)
			tab.Wait(`document.querySelector('#trace').hidden && document.activeElement.closest('li')?.dataset.traceId === '` + traceID(2) + `'`)
			tab.Press(kb.Escape)
			tab.Wait(`document.activeElement.id === 'message' && !document.querySelector('#panel').hidden`)
			tab.Press(".", chromedp.ModifierCtrl)
			tab.Wait(`document.querySelector('#panel').hidden`)
			require.NotContains(t, browsertest.Eval[string](tab, `location.search`), "traces")
		},
		"an address says all": func(t *testing.T, m *mock) {
			story(t, m)
			tab := watching(t, m, browser, "traces=1&in=deploys&failed=true&min=5ms&op=append&find=store&conn=9f3ac1-9&trace="+traceID(2)+"&span="+traceID(2)[:14]+"01")
			tab.Wait(`document.querySelector('[aria-selected="true"] .span-name')?.textContent === 'append'`)
			require.Equal(t, "deploys true 5ms append store", browsertest.Eval[string](tab,
				`(({room, errors, min, operation, text}) => [room.value, errors.checked, min.value, operation.value, text.value].join(' '))(document.querySelector('#trace-filters').elements)`))
			tab.WaitText("#trace-connection", "9f3ac1-9")
			_, asked := m.traces.snapshot()
			require.Equal(t, []string{"text=store&errors=true&room=deploys&operation=append&min=5ms&connection=9f3ac1-9"}, asked)
			require.Equal(t, []string{"receive message"}, listed(tab))
		},
		"a filter narrows": func(t *testing.T, m *mock) {
			story(t, m)
			tab := watching(t, m, browser, "traces=1")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
			tab.Click("#trace-filters [name=errors]")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 1`)
			tab.WaitText("#traces-list .took", "failed")
			tab.Click("#trace-filters [name=text]")
			tab.Type("nothing like it")
			tab.WaitText("#traces-empty", "No trace is like this")
			tab.Click("#traces-empty button")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
			require.False(t, browsertest.Eval[bool](tab, `document.querySelector('#trace-filters').errors.checked`))
		},
		"pause, clear, and keeping still under the mouse": func(t *testing.T, m *mock) {
			story(t, m)
			tab := watching(t, m, browser, "traces=1")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
			tab.Click("#traces-pause")
			m.traces.put(traceID(10), m.now().Add(time.Second), about("message", "observability", "ada", 3), received(90, 40, 20)...)
			tab.WaitText("#traces-pill", "1 new trace")
			require.Len(t, listed(tab), 5)
			tab.Click("#traces-pause")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 6 && document.querySelector('#traces-pill').hidden`)

			tab.Do(hover("#traces-list li"))
			m.traces.put(traceID(11), m.now().Add(2*time.Second), about("message", "observability", "ada", 3), received(90, 40, 20)...)
			tab.WaitText("#traces-pill", "1 new trace")
			tab.Do(hover("#message"))
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 7`)

			tab.Click("#traces-clear")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 0`)
			m.traces.put(traceID(12), m.now().Add(3*time.Second), about("message", "observability", "ada", 3), received(90, 40, 20)...)
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 1`)
		},
		"what is open says so until it ends": func(t *testing.T, m *mock) {
			spans := received(90, 40, 2_000_000)
			spans[3].open = true
			m.traces.put(traceID(1), m.now(), about("message", "observability", "ada", 3), spans...)
			tab := watching(t, m, browser, "trace="+traceID(1))
			tab.WaitText("#traces-list .is-open .took", "open")
			tab.WaitText(".spans .is-open .took", "open")
			spans[3].open = false
			m.traces.put(traceID(1), m.now(), about("message", "observability", "ada", 3), spans...)
			tab.Wait(`!document.querySelector('#traces-list .is-open') && !document.querySelector('.spans .is-open')`)
			tab.WaitText(".spans .took", "2.00\u00a0s")
		},
		"what can be done with a trace": func(t *testing.T, m *mock) {
			trace := story(t, m)
			tab := watching(t, m, browser, "trace="+trace)
			tab.WaitText(".trace-title", "receive message")
			require.Equal(t, "http://127.0.0.1:16686/trace/"+trace, browsertest.Eval[string](tab, `document.querySelector('.trace-buttons [target]').href`))
			require.Equal(t, m.origin()+"/traces/"+trace+".otlp.json", browsertest.Eval[string](tab, `document.querySelector('.export').href`))
			tab.Click(".copy-id")
			tab.WaitText("#announcer", "Trace id copied")
			tab.Click(".lines summary")
			require.Equal(t, 8, browsertest.Eval[int](tab, `document.querySelectorAll('.lines li').length`))
			tab.Click(".to-message")
			tab.Wait(`document.activeElement.matches('.row.traced')`)
			tab.WaitText("#numbers .connections", "12")
			tab.WaitText("#numbers .p99", "2.31\u00a0ms")
			tab.WaitText("#traces-foot", "9,318 older let go")
			require.Empty(t, nameless(t, tab))
		},
		"a trace that is gone": func(t *testing.T, m *mock) {
			trace := story(t, m)
			m.traces.forget(trace)
			tab := watching(t, m, browser, "traces=1")
			tab.Expect("404")
			tab.Click("#messages .trace-show")
			tab.WaitText(".trace-title", "not in memory")
			tab.WaitText(".trace-gone .command", "inspect --trace "+trace)
			tab.Press(kb.Escape)
			tab.Wait(`document.querySelector('#trace').hidden`)
		},
		"nothing is recorded": func(t *testing.T, m *mock) {
			m.traces.notice = "Nothing is recorded: the sampler is always_off."
			tab := watching(t, m, browser, "traces=1")
			tab.WaitText("#traces-empty", "Nothing is recorded")
		},
		"no traces yet": func(t *testing.T, m *mock) {
			tab := watching(t, m, browser, "traces=1")
			tab.WaitText("#traces-empty", "Send a message")
		},
		"as many watch as can": func(t *testing.T, m *mock) {
			m.traces.full = true
			tab := newVisitor(t, m, browser)
			tab.Expect("503")
			tab.Open("/?room=observability&name=calm-otter-42&traces=1")
			tab.WaitText("#traces-state", "Not connected")
			m.traces.mu.Lock()
			m.traces.full = false
			m.traces.mu.Unlock()
			tab.WaitText("#traces-state", "Live")
		},
		"the server comes back": func(t *testing.T, m *mock) {
			story(t, m)
			tab := watching(t, m, browser, "traces=1")
			expectOutage(tab)
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
			m.stop()
			tab.WaitText("#traces-state", "Not connected")
			require.Len(t, listed(tab), 5, "what was seen stays")
			m.start()
			tab.WaitText("#traces-state", "Live")
		},
		"nobody watches, nothing is sent": func(t *testing.T, m *mock) {
			tab := watching(t, m, browser, "traces=1")
			eventually(t, func() bool { n, _ := m.traces.snapshot(); return n == 1 }, "a stream")
			tab.Click("#traces-close")
			eventually(t, func() bool { n, _ := m.traces.snapshot(); return n == 0 }, "closed with the panel")
			tab.Click("#open-traces")
			eventually(t, func() bool { n, _ := m.traces.snapshot(); return n == 1 }, "a stream")
			browsertest.Eval[bool](tab, `(Object.defineProperty(document, 'hidden', { value: true, configurable: true }), document.dispatchEvent(new Event('visibilitychange')), true)`)
			eventually(t, func() bool { n, _ := m.traces.snapshot(); return n == 0 }, "closed with the page out of sight")
			browsertest.Eval[bool](tab, `(Object.defineProperty(document, 'hidden', { value: false, configurable: true }), document.dispatchEvent(new Event('visibilitychange')), true)`)
			eventually(t, func() bool { n, _ := m.traces.snapshot(); return n == 1 }, "a stream")
		},
		"on a phone": func(t *testing.T, m *mock) {
			trace := story(t, m)
			tab := newVisitor(t, m, browser)
			tab.Resize(360, 640, 1)
			tab.Prefer("prefers-reduced-motion", "reduce")
			tab.Open("/?room=observability&name=calm-otter-42")
			live(tab)
			outside := `[...document.querySelectorAll('#panel *')].filter((e) => e.checkVisibility() && !(e instanceof SVGElement) && !e.closest('#traces-list')
				&& (e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).map((e) => e.className || e.tagName)`
			tab.Click("#open-traces")
			tab.Wait(`document.querySelectorAll('#traces-list li').length === 5`)
			tab.Wait(`document.querySelector('#main').inert`)
			require.Empty(t, browsertest.Eval[[]string](tab, outside))
			tab.Click(`#traces-list [data-trace-id="` + trace + `"] a`)
			tab.WaitText(".trace-title", "receive message")
			require.Empty(t, browsertest.Eval[[]string](tab, outside))
			tab.Click(".to-message")
			tab.Wait(`document.querySelector('#panel').hidden && !document.querySelector('#main').inert && document.activeElement.matches('.row')`)
			require.True(t, browsertest.Eval[bool](tab, `document.documentElement.scrollWidth <= 360`))
		},
		"ten thousand traces later it is as quick": func(t *testing.T, m *mock) {
			tab := watching(t, m, browser, "traces=1")
			// adding adds so many times 50 traces, a frame each, and returns how long the quickest took to be shown.
			adding := func(times int) float64 {
				return browsertest.Eval[float64](tab, fmt.Sprintf(`import('/page/traces-list.js').then(async ({ TraceList }) => {
					window.theList ??= new TraceList({ root: document.querySelector('#panel'), onPick() {}, onChange() {} });
					window.made ??= 0;
					let quickest = Infinity;
					for (let i = 0; i < %d; i++) {
						await new Promise(requestAnimationFrame);
						const begin = performance.now();
						window.theList.add(Array.from({ length: 50 }, () => ({ trace_id: String(window.made++), kind: 'messages', operation: 'receive', event: 'message',
							room: 'general', client_id: 'ada', connection_id: 'x-1', start_micros: Date.now() * 1000 + window.made, duration_micros: 500, open_count: 0, failed_count: 0 })));
						await new Promise(requestAnimationFrame);
						document.body.offsetHeight;
						quickest = Math.min(quickest, performance.now() - begin);
					}
					return quickest;
				})`, times))
			}
			adding(8)
			before := adding(10)
			adding(182)
			after := adding(10)
			t.Logf("50 traces are listed within %.1f ms at first, %.1f ms after 10,000", before, after)
			require.Less(t, after, 2*before+10)
			require.Equal(t, 300, browsertest.Eval[int](tab, `document.querySelectorAll('#traces-list li').length`))
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, newMock(t, Config{JaegerUI: "http://127.0.0.1:16686"})) })
	}
}
