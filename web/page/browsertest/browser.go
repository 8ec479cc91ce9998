package browsertest

import (
	"context"
	"fmt"
	"log"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// names are what Chromium is called on the systems that it is packaged for, the preferred first.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// closing is how long the browser may take to end before it is killed.
const closing = 10 * time.Second

// Start starts a Chromium of the test's own and returns its context: tabs are opened with NewTab. The browser reaches the
// loopback interface only and ends with the test. A machine without Chromium fails the test. To be called from the
// test's goroutine.
func Start(t testing.TB) context.Context {
	t.Helper()
	browser, end, err := launch(t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(end)
	return browser
}

// shared is the browser of all tests that call Shared; tests that run in parallel may.
var shared struct {
	sync.Mutex
	browser context.Context
	end     func()
}

// Shared is Start for tests that open each tab with chromedp.WithNewBrowserContext(), which leaves nothing behind: they
// have one browser together, which starts when the first of them asks. Run ends it.
func Shared(t testing.TB) context.Context {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.browser != nil && shared.browser.Err() != nil { // it crashed, in another test
		shared.end()
		shared.browser = nil
	}
	if shared.browser == nil {
		browser, end, err := launch(log.Printf)
		if err != nil {
			t.Fatal(err)
		}
		shared.browser, shared.end = browser, end
	}
	return shared.browser
}

// Run is the tests of a package that calls Shared: give it to goleak.VerifyTestMain, as Run{m}, or call its Run.
type Run struct{ M *testing.M }

// Run runs the tests, and ends the browser that they share.
func (r Run) Run() int {
	defer func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.browser != nil {
			shared.end()
			shared.browser = nil
		}
	}()
	return r.M.Run()
}

// launch starts a browser. end ends it and waits for that.
func launch(logf func(string, ...any)) (browser context.Context, end func(), err error) {
	path := find()
	if path == "" {
		return nil, nil, fmt.Errorf("this test needs Chromium: install the package chromium (Debian, Alpine: apt-get install chromium, "+
			"apk add chromium) or Google Chrome, so that one of %q is in PATH", names)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("hide-scrollbars", false),
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("lang", "en-GB"),
		chromedp.Env("LANGUAGE=en_GB"),
		chromedp.WindowSize(1280, 800),
	)
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	browser, endBrowser := chromedp.NewContext(allocator, chromedp.WithErrorf(logf))
	end = sync.OnceFunc(func() {
		patience, cancel := context.WithTimeout(browser, closing)
		defer cancel()
		if err := chromedp.Cancel(patience); err != nil {
			logf("the browser had to be killed: %v", err)
		}
		endBrowser()
		endAllocator()
	})
	if err := chromedp.Do(browser); err != nil {
		end()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return browser, end, nil
}

func find() string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
