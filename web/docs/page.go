package docs

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
)

//go:embed files/page.html files/page.css
var files embed.FS

// Page is the documentation as one page of HTML. It is an http.Handler that answers requests for any path with the page. Any
// number of goroutines may use it at once.
type Page struct {
	template *template.Template
	view     view
	policy   string
}

// view is what the template shows.
type view struct {
	Title, Version string
	Doc, Live      template.HTML
	Groups         []group
	Channels       []channel
	Objects        []object
	Style          template.CSS
	Origin         string
}

// NewPage makes the page from an OpenAPI 3.1 document in JSON and from the AsyncAPI document of this package.
func NewPage(openAPI []byte) (*Page, error) {
	api, d, err := parseOpenAPI(openAPI)
	if err != nil {
		return nil, err
	}
	live, err := parseAsyncAPI(asyncAPIFile)
	if err != nil {
		return nil, err
	}
	style, err := files.ReadFile("files/page.css")
	if err != nil {
		return nil, err
	}
	t, err := template.ParseFS(files, "files/page.html")
	if err != nil {
		return nil, fmt.Errorf("reading the page's template: %w", err)
	}
	sum := sha256.Sum256(style)
	return &Page{
		template: t,
		view: view{
			Title: api.Info.Title, Version: api.Info.Version, Doc: prose(api.Info.Description), Live: prose(live.Info.Description),
			Groups: api.groups(d), Channels: live.channels(), Objects: d.objects(), Style: template.CSS(style),
		},
		// The one style sheet is in the page itself; the page loads nothing.
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// hosts matches the Host headers that are safe in commands, which people copy into a shell.
var hosts = regexp.MustCompile(`^(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+)(:[0-9]+)?$`)

// ServeHTTP answers with the page. The commands on it use the host that the request was sent to.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := p.view
	v.Origin = "http://localhost:8000"
	if hosts.MatchString(r.Host) {
		v.Origin = "http://" + r.Host
		if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
			v.Origin = "https://" + r.Host
		}
	}
	var body bytes.Buffer
	if err := p.template.Execute(&body, v); err != nil {
		// This depends on no request: a test would have failed.
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(body.Bytes()) // The client may be gone.
}
