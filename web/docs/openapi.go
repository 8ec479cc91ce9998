package docs

import (
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// openAPI is what the page shows of an OpenAPI 3.1 document.
type openAPI struct {
	Info struct {
		Title       string `yaml:"title"`
		Version     string `yaml:"version"`
		Description string `yaml:"description"`
	} `yaml:"info"`
	Tags []struct {
		Name        string `yaml:"name"`
		Description string `yaml:"description"`
	} `yaml:"tags"`
	Paths      ordered[ordered[operation]] `yaml:"paths"`
	Components struct {
		Schemas ordered[*schema] `yaml:"schemas"`
	} `yaml:"components"`
}

type operation struct {
	ID          string   `yaml:"operationId"`
	Tags        []string `yaml:"tags"`
	Summary     string   `yaml:"summary"`
	Description string   `yaml:"description"`
	Parameters  []struct {
		Name        string  `yaml:"name"`
		In          string  `yaml:"in"`
		Required    bool    `yaml:"required"`
		Description string  `yaml:"description"`
		Schema      *schema `yaml:"schema"`
	} `yaml:"parameters"`
	Body *struct {
		Required bool           `yaml:"required"`
		Content  ordered[media] `yaml:"content"`
	} `yaml:"requestBody"`
	Responses ordered[struct {
		Description string         `yaml:"description"`
		Content     ordered[media] `yaml:"content"`
	}] `yaml:"responses"`
}

type media struct {
	Schema  *schema   `yaml:"schema"`
	Example yaml.Node `yaml:"example"`
}

// group is the calls with one tag.
type group struct {
	ID, Name string
	Doc      template.HTML
	Calls    []call
}

// call is an operation as the page shows it.
type call struct {
	ID, Method, Path, Summary string
	Doc                       template.HTML
	Params                    []field
	Body                      []field
	BodyOptional              bool
	Request                   request
	Answers                   []answer // by status
}

// answer is an answer of a call: that with one status.
type answer struct {
	Status      string
	Title       string
	Class       string // good, bad or other
	Description template.HTML
	Media       string
	Type        kind
	Fields      []field
	Example     template.HTML // JSON; may be empty
}

// request is an example of a call, for curl.
type request struct {
	Method  string // empty for GET
	Path    string // with the query
	Headers []string
	body    string // JSON; may be empty
	stream  bool   // the answer has no end: curl is to show it as it comes
}

// Curl returns the command that sends the request to origin.
func (r request) Curl(origin string) string {
	var b strings.Builder
	b.WriteString("curl ")
	if r.stream {
		b.WriteString("-N ")
	}
	if r.Method != "" {
		b.WriteString("-X " + r.Method + " ")
	}
	b.WriteString(shell(origin + r.Path))
	for _, h := range r.Headers {
		b.WriteString(" \\\n  -H " + shell(h))
	}
	if r.body != "" {
		b.WriteString(" \\\n  -d " + shell(r.body))
	}
	return b.String()
}

// shell quotes an argument for a POSIX shell.
func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// parseOpenAPI reads an OpenAPI document, as JSON or YAML.
func parseOpenAPI(doc []byte) (*openAPI, *schemas, error) {
	var api openAPI
	if err := yaml.Unmarshal(doc, &api); err != nil {
		return nil, nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	d := &schemas{named: api.Components.Schemas, linked: map[string]bool{}}
	// An object that is used more than once, or within another one, gets a section.
	met := map[string]int{}
	var within func(s *schema, depth int)
	within = func(s *schema, depth int) {
		if s == nil {
			return
		}
		if s.Ref != "" {
			name := refName(s.Ref)
			met[name]++
			if depth > 0 || met[name] > 1 {
				d.linked[name] = true
			}
			if met[name] > 1 {
				return
			}
		}
		s = d.resolve(s)
		within(s.Items, depth+1)
		for _, p := range s.Properties {
			within(p.Value, depth+1)
		}
	}
	for _, path := range api.Paths {
		for _, op := range path.Value {
			seen := map[string]bool{} // an object that a call answers with several statuses counts once
			for _, r := range op.Value.Responses {
				for _, m := range r.Value.Content {
					if m.Value.Schema != nil && !seen[m.Value.Schema.Ref] {
						seen[m.Value.Schema.Ref] = true
						within(m.Value.Schema, 0)
					}
				}
			}
		}
	}
	return &api, d, nil
}

// order is the order of calls to the same path, by method.
var order = []string{"get", "post", "put", "patch", "delete"}

// groups returns the calls of the document, by tag.
func (api *openAPI) groups(d *schemas) []group {
	var groups []group
	for _, tag := range api.Tags {
		g := group{ID: slug(tag.Name), Name: tag.Name, Doc: prose(tag.Description)}
		for _, path := range api.Paths {
			for _, method := range order {
				if op, ok := path.Value.get(method); ok && slices.Contains(op.Tags, tag.Name) {
					g.Calls = append(g.Calls, newCall(d, method, path.Key, op))
				}
			}
		}
		groups = append(groups, g)
	}
	return groups
}

func newCall(d *schemas, method, path string, op operation) call {
	c := call{ID: op.ID, Method: strings.ToUpper(method), Path: path, Summary: op.Summary, Doc: prose(op.Description)}
	if method != "get" {
		c.Request.Method = c.Method
	}
	var query []string
	for _, p := range op.Parameters {
		f := d.field(p.Name, p.Schema)
		f.Where, f.Required = p.In, p.Required
		if p.Description != "" {
			f.Doc = prose(p.Description)
		}
		c.Params = append(c.Params, f)
		switch value := text(d.example(p.Schema)); {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(value))
		case p.In == "query" && (p.Required || len(d.resolve(p.Schema).Examples) > 0):
			query = append(query, url.QueryEscape(p.Name)+"="+url.QueryEscape(value))
		case p.In == "header" && p.Required:
			c.Request.Headers = append(c.Request.Headers, p.Name+": "+value)
		}
	}
	c.Request.Path = path
	if len(query) > 0 {
		c.Request.Path += "?" + strings.Join(query, "&")
	}
	if op.Body != nil {
		if m, ok := op.Body.Content.get("application/json"); ok {
			c.Body, c.BodyOptional = d.fields(m.Schema), !op.Body.Required
			if op.Body.Required {
				c.Request.body = compact(d.example(m.Schema))
				c.Request.Headers = append(c.Request.Headers, "Content-Type: application/json")
			}
		}
	}
	if c.Request.body != "" && c.Request.Method == http.MethodPost {
		c.Request.Method = "" // -d implies it
	}
	shown := map[string]bool{} // objects whose fields an answer of this call has shown
	for _, r := range op.Responses {
		a := answer{Status: r.Key, Title: "any other", Class: "other", Description: prose(r.Value.Description)}
		if status, err := strconv.Atoi(r.Key); err == nil {
			a.Title = http.StatusText(status)
			a.Class = "good"
			if status >= http.StatusBadRequest {
				a.Class = "bad"
			}
		}
		for _, m := range r.Value.Content {
			a.Media = m.Key
			c.Request.stream = c.Request.stream || m.Key == "text/event-stream"
			if m.Value.Schema == nil {
				continue
			}
			a.Type = d.kind(m.Value.Schema)
			if ref := m.Value.Schema.Ref; ref != "" && shown[ref] {
				a.Type = kind{Object: a.Type.Object}
			} else if a.Type.Object == "" {
				shown[ref] = true
				a.Fields = answered(d.fields(m.Value.Schema))
				if len(a.Fields) > 0 {
					a.Type = kind{}
				}
			}
			switch {
			case !m.Value.Example.IsZero():
				a.Example = painted(&m.Value.Example)
			case strings.HasSuffix(m.Key, "json") && len(d.resolve(m.Value.Schema).Properties) > 0:
				a.Example = painted(d.example(m.Value.Schema))
			}
		}
		c.Answers = append(c.Answers, a)
	}
	slices.SortStableFunc(c.Answers, func(a, b answer) int { return strings.Compare(a.Status, b.Status) })
	return c
}

// object is a named schema that calls refer to.
type object struct {
	Name    string
	Doc     template.HTML
	Fields  []field
	Example template.HTML
}

// objects returns the schemas that have a section.
func (d *schemas) objects() []object {
	var list []object
	for _, s := range d.named {
		if d.linked[s.Key] {
			list = append(list, object{s.Key, prose(s.Value.Description), answered(d.fields(s.Value)), painted(d.example(s.Value))})
		}
	}
	return list
}

// slug returns a name in the form that it has in an anchor.
func slug(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}
