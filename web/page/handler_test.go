package page

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web"
)

func get(t *testing.T, h http.Handler, address string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, address, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerServesEveryFile(t *testing.T) {
	h := Handler(Config{Refuse: web.Refuse})
	entries, err := fs.ReadDir(files, "files")
	require.NoError(t, err)
	kinds := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
	}
	for _, entry := range entries {
		address := "/page/" + entry.Name()
		if entry.Name() == "index.html" {
			address = "/"
		}
		w := get(t, h, address)
		require.Equal(t, http.StatusOK, w.Code, address)
		require.Equal(t, kinds[path.Ext(entry.Name())], w.Header().Get("Content-Type"), address)
		require.NotEmpty(t, w.Header().Get("ETag"), address)
	}
}

func TestHandlerPolicy(t *testing.T) {
	w := get(t, Handler(Config{Refuse: web.Refuse}), "/")
	policy := w.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, policy, "*")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))

	// Nothing that the policy would refuse: no script or style in the page itself, nothing from elsewhere.
	body := w.Body.String()
	require.NotRegexp(t, regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=`), body)
	require.NotRegexp(t, regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]`), body)
	require.NotRegexp(t, regexp.MustCompile(`(?i)(?:src|href)="(?:https?:)?//`), body)
}

func TestHandlerNewFilesArePickedUp(t *testing.T) {
	h := Handler(Config{Refuse: web.Refuse})
	first := get(t, h, "/")
	require.Equal(t, "no-cache", first.Header().Get("Cache-Control"), "the browser must ask before it uses what it has")
	tag := first.Header().Get("ETag")
	require.NotEmpty(t, tag)

	again := get(t, h, "/", "If-None-Match", tag)
	require.Equal(t, http.StatusNotModified, again.Code)
	require.Empty(t, again.Body.Bytes())

	changed := get(t, Handler(Config{JaegerUI: "http://jaeger:16686"}), "/", "If-None-Match", tag)
	require.Equal(t, http.StatusOK, changed.Code, "another page has another tag")
}

func TestHandlerJaegerUI(t *testing.T) {
	for given, want := range map[string]string{
		"":                              `content=""`,
		"http://localhost:16686":        `content="http://localhost:16686"`,
		"https://jaeger.example/ui/":    `content="https://jaeger.example/ui"`,
		`http://x/"><script>alert(1)`:   `content="http://x/&#34;&gt;&lt;script&gt;alert(1)"`,
		"javascript:alert(1)//http://x": `content=""`,
		"//jaeger.example":              `content=""`,
		"jaeger:16686":                  `content=""`,
	} {
		body := get(t, Handler(Config{JaegerUI: given}), "/").Body.String()
		require.Contains(t, body, `<meta name="jaeger-ui" `+want, given)
	}
}

func TestHandlerElsewhere(t *testing.T) {
	h := Handler(Config{Refuse: web.Refuse})
	for _, address := range []string{"/nothing", "/page/", "/page/index.html", "/page/../page.go", "/index.html"} {
		w := get(t, h, address)
		require.Equal(t, http.StatusNotFound, w.Code, address)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
		require.Contains(t, w.Body.String(), `"status":404`)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}
