package browsertest

import (
	"context"
	"os/exec"
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
	path := find()
	if path == "" {
		t.Fatalf("this test needs Chromium: install the package chromium (Debian, Alpine: apt-get install chromium, "+
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
	browser, endBrowser := chromedp.NewContext(allocator, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		patience, cancel := context.WithTimeout(browser, closing)
		defer cancel()
		if err := chromedp.Cancel(patience); err != nil {
			t.Logf("the browser had to be killed: %v", err)
		}
		endBrowser()
		endAllocator()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return browser
}

func find() string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}
