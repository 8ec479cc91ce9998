package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(Run{m}) }

// failing is a test that keeps what it fails for.
type failing struct {
	testing.TB
	fatal string
}

func (f *failing) Helper() {}

func (f *failing) Fatal(args ...any) {
	f.fatal = fmt.Sprint(args...)
	panic(f)
}

func (f *failing) Fatalf(format string, args ...any) {
	f.fatal = fmt.Sprintf(format, args...)
	panic(f)
}

// failure returns what do fails its test for.
func failure(t *testing.T, do func(testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		do(f)
	}()
	return f.fatal
}

func TestWithoutChromium(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	message := failure(t, func(t testing.TB) { Start(t) })
	require.Contains(t, message, "apt-get install chromium")
}

func TestProblemsAreFound(t *testing.T) {
	pages := map[string]string{
		"/fine":      `<title>fine</title><p id="p">fine</p>`,
		"/console":   `<script>console.error("said on the console", 7)</script>`,
		"/exception": `<script>throw new Error("thrown")</script>`,
		"/promise":   `<script>Promise.reject(new Error("rejected"))</script>`,
		"/missing":   `<script src="/nothing.js"></script>`,
		"/elsewhere": `<img src="http://elsewhere.invalid/picture.png">`,
		"/socket":    `<script>new WebSocket("ws://elsewhere.invalid/")</script>`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><link rel="icon" href="/fine">`, page)
	}))
	t.Cleanup(server.Close)
	browser := Start(t)
	for path, want := range map[string]string{
		"/console":   "said on the console",
		"/exception": "thrown",
		"/promise":   "rejected",
		"/missing":   "404",
		"/elsewhere": "request to another origin: http://elsewhere.invalid/picture.png",
		"/socket":    "request to another origin: ws://elsewhere.invalid/",
	} {
		tab := NewTab(t, browser, server.URL)
		tab.Open(path)
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(tab.Problems(), func(p string) bool { return strings.Contains(p, want) })
		}, Patience, look, "%s: %q", path, tab.Problems())
		tab.Expect("")
		require.Empty(t, tab.Problems(), "what is expected is no problem")
	}

	tab := NewTab(t, browser, server.URL)
	tab.Open("/fine")
	tab.WaitText("#p", "fine")
	require.Equal(t, "fine", Eval[string](tab, `document.title`))
}

func TestTheSharedBrowser(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,">`)
	}))
	t.Cleanup(server.Close)
	browser := Shared(t)
	require.Equal(t, browser, Shared(t))
	t.Run("one test's", func(t *testing.T) {
		tab := NewTab(t, Shared(t), server.URL, chromedp.WithNewBrowserContext())
		tab.Open("/")
		Eval[bool](tab, `(localStorage.setItem('left', 'something'), true)`)
	})
	t.Run("another's", func(t *testing.T) {
		tab := NewTab(t, Shared(t), server.URL, chromedp.WithNewBrowserContext())
		tab.Open("/")
		require.Zero(t, Eval[int](tab, `localStorage.length`))
	})

	process := chromedp.FromContext(browser).Browser.Process()
	require.NoError(t, process.Kill())
	<-browser.Done()
	require.NotEqual(t, browser, Shared(t))
	tab := NewTab(t, Shared(t), server.URL, chromedp.WithNewBrowserContext())
	tab.Open("/")
}
