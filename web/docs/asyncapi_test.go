package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asyncAPISchema is the JSON Schema of AsyncAPI 3.0 as its makers publish it on npm.
func asyncAPISchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		b, err := os.ReadFile(filepath.Join("testdata", "asyncapi", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund")
	install.Dir = dir
	out, err := install.CombinedOutput()
	require.NoError(t, err, "npm ci: %s", out)
	f, err := os.Open(filepath.Join(dir, "node_modules", "@asyncapi", "specs", "schemas", "3.0.0.json"))
	require.NoError(t, err)
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("asyncapi-3.0.json", doc))
	s, err := c.Compile("asyncapi-3.0.json")
	require.NoError(t, err)
	return s
}

// asJSON is a YAML document as the schema's library wants values.
func asJSON(t *testing.T, doc string) any {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal([]byte(doc), &v))
	b, err := json.Marshal(v)
	require.NoError(t, err)
	v, err = jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	require.NoError(t, err)
	return v
}

func TestAsyncAPIDocumentIsValid(t *testing.T) {
	s := asyncAPISchema(t)
	doc := string(AsyncAPI())
	require.NoError(t, s.Validate(asJSON(t, doc)))
	// The schema is one that can say no.
	for from, to := range map[string]string{
		"action: receive":       "action: hear",
		"asyncapi: 3.0.0":       "asyncapi: 2.6.0",
		"    protocol: ws\n":    "",
		"        type: boolean": "        type: bool",
	} {
		broken := strings.Replace(doc, from, to, 1)
		require.NotEqual(t, doc, broken, from)
		require.Error(t, s.Validate(asJSON(t, broken)), "%s for %s", to, from)
	}
}

// What the schema does not check: that references lead somewhere, and that operations name messages of their channel.
func TestAsyncAPIReferencesLeadSomewhere(t *testing.T) {
	root := asJSON(t, string(AsyncAPI()))
	var walk func(v any, path string)
	count := 0
	walk = func(v any, path string) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				count++
				at := root
				for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, ok := at.(map[string]any)
					require.True(t, ok && m[name] != nil, "%s: %s leads nowhere", path, ref)
					at = m[name]
				}
			}
			for name, child := range v {
				walk(child, path+"/"+name)
			}
		case []any:
			for _, child := range v {
				walk(child, path)
			}
		}
	}
	walk(root, "")
	require.Greater(t, count, 50)

	api, err := parseAsyncAPI(AsyncAPI())
	require.NoError(t, err)
	said := map[string]int{}
	for _, c := range api.channels() {
		for _, m := range append(c.Heard, c.Said...) {
			said[m.ID]++
			require.NotEmpty(t, m.Examples, m.ID)
			require.NotEmpty(t, m.Doc, m.ID)
		}
	}
	for _, c := range api.Channels {
		for _, m := range c.Value.Messages {
			require.Equal(t, 1, said[c.Key+"-"+m.Key], "operations with message %s of %s", m.Key, c.Key)
		}
	}
	for _, op := range api.Operations {
		for _, m := range append(op.Value.Messages, op.Value.Reply.Messages...) {
			require.True(t, strings.HasPrefix(m.Ref, op.Value.Channel.Ref+"/messages/"), "%s: %s", op.Key, m.Ref)
		}
	}
}

func TestUnusableAsyncAPIDocuments(t *testing.T) {
	for doc, want := range map[string]string{
		"":                                      "empty",
		"channels: {a: {$ref: '#/channels/b'}}": "there is no #/channels/b",
		"channels: {a: {$ref: '#/channels/b'}, b: {$ref: '#/channels/a'}}": "references lead on and on",
		"channels: []":                   "not a mapping",
		"channels: {a: {messages: []}}}": "did not find",
	} {
		_, err := parseAsyncAPI([]byte(doc))
		require.ErrorContains(t, err, want, doc)
	}
}
