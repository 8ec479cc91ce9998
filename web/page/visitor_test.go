package page

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

const (
	keyUp    = kb.ArrowUp
	keyEnter = kb.Enter
)

// newVisitor opens a tab of a person's own.
func newVisitor(t *testing.T, m *mock, browser context.Context) *browsertest.Tab {
	t.Helper()
	return browsertest.NewTab(t, browser, m.origin(), chromedp.WithNewBrowserContext())
}

// visit opens the page in a new visitor's tab, in a room and under a name, and waits until it is connected.
func visit(t *testing.T, m *mock, browser context.Context, room, name string) *browsertest.Tab {
	t.Helper()
	tab := newVisitor(t, m, browser)
	tab.Open(fmt.Sprintf("/?room=%s&name=%s", room, name))
	live(tab)
	return tab
}

// live waits until the page is connected.
func live(tab *browsertest.Tab) {
	tab.Wait(`document.querySelector('#status').dataset.phase === 'open'`)
}

// expectOutage makes it no problem that the browser tells the console of connections that fail.
func expectOutage(tab *browsertest.Tab) {
	tab.Expect("WebSocket connection to")
	tab.Expect("Failed to load resource: net::ERR_")
}

// joinAs makes client a member of a room until the test ends.
func joinAs(t *testing.T, m *mock, room, client string) *websocket.Conn {
	t.Helper()
	conn, response, err := websocket.DefaultDialer.Dial("ws://"+m.addr+"/ws/"+room+"/"+client, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-drained
	})
	return conn
}

// eventually waits until condition holds on the server's side.
func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, browsertest.Patience, 10*time.Millisecond, what)
}

func wheel(x, y, by float64) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: input.DispatchMouseEventTypeMouseWheel, X: x, Y: y, DeltaX: 0.01, DeltaY: by,
		})
		return err
	})
}

// hover moves the mouse to the middle of what the selector finds first.
func hover(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		at, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](fmt.Sprintf(
			`(({ left, top, width, height }) => [left + width / 2, top + height / 2])(document.querySelector(%q).getBoundingClientRect())`, selector)))
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, target, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: input.DispatchMouseEventTypeMouseMoved, X: at[0], Y: at[1],
		})
		return err
	})
}

// back presses the browser's back button.
func back() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(history.back(), true)`))
		return err
	})
}

func focus(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Focus(chromedp.CSS(selector))
}

// pasteCommand pastes from the clipboard into what has the focus.
func pasteCommand() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: "v", Code: "KeyV", Modifiers: int64(chromedp.ModifierCtrl), Commands: []string{"paste"},
		})
		return err
	})
}

// nameless returns the roles of what can be operated and has no accessible name.
func nameless(t *testing.T, tab *browsertest.Tab) []string {
	t.Helper()
	operable := []string{"button", "link", "textbox", "searchbox", "dialog", "region", "log", "navigation"}
	tree, err := chromedp.Call(tab.Context(), accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	var found []string
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil {
			continue
		}
		role := strings.Trim(string(node.Role.Value), `"`)
		if slices.Contains(operable, role) && (node.Name == nil || len(strings.Trim(string(node.Name.Value), `" `)) == 0) {
			found = append(found, role)
		}
	}
	return found
}

// beforeLoad runs a script in every page that the tab opens from now on, before the page's own.
func beforeLoad(script string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	})
}
