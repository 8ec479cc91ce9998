package browsertest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Patience is how long a step may take, and how long Wait waits.
const Patience = 30 * time.Second

// look is how often Wait looks.
const look = 20 * time.Millisecond

// Tab is a page in a browser. Its methods fail the test when they cannot do what they are asked, and may be called from
// the test's goroutine only. When the test ends, it fails for every problem that is left.
type Tab struct {
	t      testing.TB
	ctx    context.Context
	origin *url.URL

	mu       sync.Mutex // guards all below
	problems []string
	expected []string
}

// NewTab opens a tab for pages of origin, such as http://127.0.0.1:8000. It shares cookies and storage with the browser's
// other tabs; with the option chromedp.WithNewBrowserContext() it has its own, like another person's browser.
func NewTab(t testing.TB, browser context.Context, origin string, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	base, err := url.Parse(origin)
	if err != nil || base.Host == "" {
		t.Fatalf("%q is not an origin", origin)
	}
	ctx, cancel := chromedp.NewContext(browser, options...)
	tab := &Tab{t: t, ctx: ctx, origin: base}
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		t.Fatalf("open a tab: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		for _, problem := range tab.Problems() {
			t.Errorf("the page did what it should not: %s", problem)
		}
	})
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		t.Fatalf("listen to a tab: %v", err)
	}
	return tab
}

// Context is the tab's, for what chromedp can do and Tab cannot.
func (tab *Tab) Context() context.Context { return tab.ctx }

// Expect makes messages of the console that contain part no problem, as that a socket could not be opened while the
// test has stopped the server. It counts for what was heard before, too.
func (tab *Tab) Expect(part string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.expected = append(tab.expected, part)
}

// Problems returns what went wrong until now: errors on the console, exceptions, requests to another origin; without
// those that are expected.
func (tab *Tab) Problems() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(tab.problems), func(problem string) bool {
		return slices.ContainsFunc(tab.expected, func(part string) bool { return strings.Contains(problem, part) })
	})
}

// hear is called by the tab's reader: it must not block.
func (tab *Tab) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			tab.note("console." + string(e.Type) + ": " + strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		tab.note("exception: " + text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			tab.note(fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		tab.noteForeign(e.Request.URL)
	case *network.EventWebSocketCreated:
		tab.noteForeign(e.URL)
	}
}

func (tab *Tab) noteForeign(raw string) {
	u, err := url.Parse(raw)
	if err == nil && (u.Host == tab.origin.Host || u.Scheme == "about") {
		return
	}
	tab.note("request to another origin: " + raw)
}

func (tab *Tab) note(problem string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.problems = append(tab.problems, problem)
}

// Do runs the actions, in order.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		tab.t.Fatalf("in the browser: %v", err)
	}
}

// Open goes to a path of the origin, with or without a query, and returns when the page has loaded.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate(tab.origin.JoinPath("/").String() + strings.TrimPrefix(path, "/")))
}

// Eval returns the value of a JavaScript expression in the page; a promise's when it is fulfilled.
func Eval[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// Wait returns as soon as the JavaScript expression is true in the page. If that does not happen, the test fails and
// shows what the page says.
func (tab *Tab) Wait(expression string) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			text, _ := chromedp.Run(tab.ctx, chromedp.Evaluate[string]("document.body.innerText.slice(0, 2000)"))
			tab.t.Fatalf("not within %v: %s (%v)\nthe page says:\n%s\nproblems: %q", Patience, expression, err, text, tab.Problems())
		case <-tick.C:
		}
	}
}

// WaitText returns as soon as an element that matches the CSS selector contains text.
func (tab *Tab) WaitText(selector, text string) {
	tab.t.Helper()
	tab.Wait(fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.textContent.includes(%q))", selector, text))
}

// Click clicks the one visible element that matches the CSS selector, where it is, with the mouse.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.Do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// Type types text, character by character, into whatever has the focus.
func (tab *Tab) Type(text string) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(text, likeKeyboard))
}

// Paste puts text into whatever has the focus, in one step.
func (tab *Tab) Paste(text string) {
	tab.t.Helper()
	tab.Do(call(input.InsertText, input.InsertTextParams{Text: text}))
}

// Press presses a key of package kb, with modifiers.
func (tab *Tab) Press(key string, modifiers ...chromedp.Modifier) {
	tab.t.Helper()
	tab.Do(chromedp.KeyEvent(key, likeKeyboard, chromedp.KeyModifiers(modifiers...)))
}

// Resize makes the page width by height CSS pixels, shown at scale device pixels each.
func (tab *Tab) Resize(width, height int, scale float64) {
	tab.t.Helper()
	tab.Do(chromedp.EmulateViewport(int64(width), int64(height), chromedp.EmulateScale(scale)))
}

// Prefer makes the user's preferences known to the page, as "prefers-color-scheme", "dark", by name and value in turn.
func (tab *Tab) Prefer(namesAndValues ...string) {
	tab.t.Helper()
	var features []*emulation.MediaFeature
	for pair := range slices.Chunk(namesAndValues, 2) {
		features = append(features, &emulation.MediaFeature{Name: pair[0], Value: pair[1]})
	}
	tab.Do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features}))
}

// Screenshot returns what is visible of the page, as PNG.
func (tab *Tab) Screenshot() []byte {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tab.t.Fatalf("take a screenshot: %v", err)
	}
	return png
}

// likeKeyboard makes the browser drop a key's character if the page prevented the key, as it does for a person's keys.
func likeKeyboard(p *input.DispatchKeyEventParams) {
	if p.Type == input.DispatchKeyEventTypeKeyDown {
		p.Type = input.DispatchKeyEventTypeRawKeyDown
	}
}

// call makes an action of a command of the browser's protocol.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}
