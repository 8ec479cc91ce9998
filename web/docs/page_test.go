package docs

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is a document with what is hard to show.
const small = `{
  "openapi": "3.1.0",
  "info": {"title": "A <b>", "version": "1", "description": "One.\n\n- a ` + "`x<y`" + `\n- b"},
  "tags": [{"name": "Things", "description": "All"}],
  "paths": {"/things/{id}": {
    "post": {"operationId": "put-thing", "tags": ["Things"], "summary": "Put <it>",
      "parameters": [
        {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "examples": ["a/b"]}},
        {"name": "q", "in": "query", "schema": {"type": "string", "examples": ["it's & more"]}}],
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
      "responses": {
        "200": {"description": "Done", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
        "404": {"description": "None"}}}}},
  "components": {"schemas": {
    "Thing": {"type": "object", "required": ["z", "a"], "properties": {
      "a": {"type": "string", "examples": ["it's </script>"], "minLength": 1, "maxLength": 9, "pattern": "^<+$"},
      "o": {"type": "integer", "minimum": 0, "default": 3},
      "u": {"type": "integer"},
      "z": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}}}},
    "Part": {"type": "object", "required": ["n"], "properties": {"n": {"type": ["string", "null"], "description": "A name"}}}
  }}
}`

func TestPageShowsWhatTheDocumentSays(t *testing.T) {
	p, err := NewPage([]byte(small))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", nil))
	page := w.Body.String()
	for _, want := range []string{
		"<title>A &lt;b&gt; API</title>",
		"<p>One.</p><ul><li>a <code>x&lt;y</code></li><li>b</li></ul>",
		"Put &lt;it&gt;",
		// Arguments are quoted for the shell, the path and the query as their places demand.
		`curl &#39;http://example.com/things/a%2Fb?q=it%27s&#43;%26&#43;more&#39;`,
		`-d &#39;{&#34;z&#34;:[{&#34;n&#34;:null}],&#34;a&#34;:&#34;it&#39;\&#39;&#39;s &lt;/script&gt;&#34;}&#39;`,
		"1 to 9 characters · matches <code>^&lt;&#43;$</code>",
		"0 or more · by default <code>3</code>",
		`list of <a href="#object-Part">Part</a>`,
		`id="object-Part"`,
		"string or null",
	} {
		require.Contains(t, strings.ReplaceAll(page, "+", "&#43;"), want)
	}
	require.NotContains(t, page, "</script>")
	require.NotContains(t, page, `id="object-Thing"`, "met once, shown where it is met")
}

func TestUnusableOpenAPIDocument(t *testing.T) {
	_, err := NewPage([]byte(`{"paths": [1]}`))
	require.ErrorContains(t, err, "reading the OpenAPI document")
}
