package docs

import (
	"encoding/json"
	"html/template"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// JSON values are kept as yaml.Node, which keeps the order of an object's members: JSON is YAML.

// example returns a value that the schema allows: its own example if it has one, else one that is made of the examples of its
// parts. Members that are not required are left out unless they have an example.
func (d *schemas) example(s *schema) *yaml.Node {
	s = d.resolve(s)
	switch {
	case len(s.Examples) > 0:
		return &s.Examples[0]
	case !s.Const.IsZero():
		return &s.Const
	case len(s.Enum) > 0:
		return &s.Enum[0]
	case !s.Default.IsZero():
		return &s.Default
	case slices.Contains(s.Type, "null"):
		return scalar("!!null", "null")
	case s.Items != nil:
		return &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{d.example(s.Items)}}
	case len(s.Properties) > 0:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range s.members() {
			if slices.Contains(s.Required, m.Key) || len(d.resolve(m.Value).Examples) > 0 {
				n.Content = append(n.Content, scalar("!!str", m.Key), d.example(m.Value))
			}
		}
		return n
	case slices.Contains(s.Type, "integer"), slices.Contains(s.Type, "number"):
		return scalar("!!int", "1")
	case slices.Contains(s.Type, "boolean"):
		return scalar("!!bool", "false")
	}
	return scalar("!!str", "string")
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// text returns a value as it is written in a sentence or an address.
func text(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return compact(n)
}

// compact returns the value as JSON on one line.
func compact(n *yaml.Node) string {
	var w writer
	w.value(n, "", false)
	return w.String()
}

// painted returns the value as JSON on several lines, as HTML with classes: k for names, s for strings, n for other values.
func painted(n *yaml.Node) template.HTML {
	w := writer{paint: true}
	w.value(n, "", true)
	return template.HTML(w.String())
}

// writer writes values as JSON.
type writer struct {
	strings.Builder
	paint bool
}

func (w *writer) value(n *yaml.Node, indent string, lines bool) {
	inner := indent + "  "
	gap := func(indent string) {
		if lines {
			w.WriteString("\n" + indent)
		}
	}
	switch n.Kind {
	case yaml.MappingNode, yaml.SequenceNode:
		begin, end, step := "[", "]", 1
		if n.Kind == yaml.MappingNode {
			begin, end, step = "{", "}", 2 // names and values by turns
		}
		w.WriteString(begin)
		for i := 0; i < len(n.Content); i += step {
			if i > 0 {
				w.WriteByte(',')
			}
			gap(inner)
			if n.Kind == yaml.MappingNode {
				w.token("k", quoted(n.Content[i].Value))
				w.WriteByte(':')
				if lines {
					w.WriteByte(' ')
				}
			}
			w.value(n.Content[i+step-1], inner, lines)
		}
		if len(n.Content) > 0 {
			gap(indent)
		}
		w.WriteString(end)
	default:
		switch n.ShortTag() {
		case "!!int", "!!float", "!!bool", "!!null":
			w.token("n", n.Value)
		default:
			w.token("s", quoted(n.Value))
		}
	}
}

func (w *writer) token(class, s string) {
	if !w.paint {
		w.WriteString(s)
		return
	}
	w.WriteString(`<span class="` + class + `">` + template.HTMLEscapeString(s) + `</span>`)
}

func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // strings can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}
