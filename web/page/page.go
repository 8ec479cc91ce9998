package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed files
var files embed.FS

// Config is what the page is told by the server that serves it. Refuse is required.
type Config struct {
	// Refuse answers a request that cannot be served. detail says why.
	Refuse func(w http.ResponseWriter, status int, detail string)
	// JaegerUI is where Jaeger's pages are, as http://localhost:16686; with it each message gets a link to its trace.
	// Anything but an absolute http or https URL counts as empty: no links.
	JaegerUI string
}

// policy lets the page load and ask nothing but its own origin, run no script and no style that is not a file there, and
// turn no string into markup. ('self' covers the WebSocket: https://www.w3.org/TR/CSP3/#match-url-to-source-expression.)
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// kinds are the media types of the files, whatever the machine's own table says.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is an embedded file with its headers.
type file struct {
	name, kind, etag string
	body             []byte
}

// Handler serves the page at / and its files below /page/, by GET and HEAD; everything else is 404. Any number of
// goroutines may call it at once. Browsers keep the files but ask before they use them, so that they have the new ones
// as soon as the server has.
func Handler(cfg Config) http.Handler {
	served := map[string]*file{}
	var modules []string
	entries, err := fs.ReadDir(files, "files")
	if err != nil {
		panic(err) // The files are in the binary: this cannot be.
	}
	for _, entry := range entries {
		name := entry.Name()
		body, err := files.ReadFile("files/" + name)
		if err != nil {
			panic(err)
		}
		if name != "index.html" {
			served["/page/"+name] = newFile(name, body)
		}
		if path.Ext(name) == ".js" && name != "boot.js" && name != "app.js" {
			modules = append(modules, name)
		}
	}
	slices.Sort(modules)
	index := template.Must(template.ParseFS(files, "files/index.html"))
	var body bytes.Buffer
	if err := index.Execute(&body, map[string]any{"JaegerUI": jaegerUI(cfg.JaegerUI), "Modules": modules}); err != nil {
		panic(err)
	}
	served["/"] = newFile("index.html", body.Bytes())

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := served[r.URL.Path]
		switch {
		case !ok:
			w.Header().Set("X-Content-Type-Options", "nosniff")
			cfg.Refuse(w, http.StatusNotFound, "there is nothing at "+r.URL.Path)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Allow", "GET, HEAD")
			cfg.Refuse(w, http.StatusMethodNotAllowed, "the page can only be read")
		default:
			f.serve(w, r)
		}
	})
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	return &file{name: name, kind: kinds[path.Ext(name)], etag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.body))
}

// jaegerUI returns raw without a slash at its end, or nothing if it is not an absolute http or https URL.
func jaegerUI(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	return strings.TrimRight(raw, "/")
}
