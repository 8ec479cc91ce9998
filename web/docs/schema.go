package docs

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ordered is a mapping that keeps the order in which it was written.
type ordered[T any] []entry[T]

type entry[T any] struct {
	Key   string
	Value T
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (o *ordered[T]) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: not a mapping", node.Line)
	}
	for i := 0; i < len(node.Content); i += 2 {
		e := entry[T]{Key: node.Content[i].Value}
		if err := node.Content[i+1].Decode(&e.Value); err != nil {
			return err
		}
		*o = append(*o, e)
	}
	return nil
}

func (o ordered[T]) get(key string) (value T, ok bool) {
	for _, e := range o {
		if e.Key == key {
			return e.Value, true
		}
	}
	return value, false
}

// schema is what the documents use of JSON Schema.
type schema struct {
	Ref         string           `yaml:"$ref"`
	Type        types            `yaml:"type"`
	Format      string           `yaml:"format"`
	Description string           `yaml:"description"`
	Properties  ordered[*schema] `yaml:"properties"`
	Required    []string         `yaml:"required"`
	Items       *schema          `yaml:"items"`
	OneOf       []*schema        `yaml:"oneOf"`
	Const       yaml.Node        `yaml:"const"`
	Enum        []yaml.Node      `yaml:"enum"`
	Default     yaml.Node        `yaml:"default"`
	Examples    []yaml.Node      `yaml:"examples"`
	MinLength   int              `yaml:"minLength"`
	MaxLength   int              `yaml:"maxLength"`
	MaxItems    int              `yaml:"maxItems"`
	Pattern     string           `yaml:"pattern"`
	Minimum     *float64         `yaml:"minimum"`
	Maximum     *float64         `yaml:"maximum"`
}

// types are the types of a schema: one, or a list.
type types []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *types) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*t = types{node.Value}
		return nil
	}
	return node.Decode((*[]string)(t))
}

// members returns the properties, the required ones first in the order in which required lists them.
func (s *schema) members() ordered[*schema] {
	var list ordered[*schema]
	for _, name := range s.Required {
		if p, ok := s.Properties.get(name); ok {
			list = append(list, entry[*schema]{name, p})
		}
	}
	for _, p := range s.Properties {
		if !slices.Contains(s.Required, p.Key) {
			list = append(list, p)
		}
	}
	return list
}

// schemas are the named schemas of a document, and which of them the page has a section for.
type schemas struct {
	named  ordered[*schema]
	linked map[string]bool
}

// resolve follows a reference.
func (d *schemas) resolve(s *schema) *schema {
	if s.Ref == "" {
		return s
	}
	if target, ok := d.named.get(refName(s.Ref)); ok {
		return target
	}
	return &schema{}
}

// refName is the name at the end of a reference.
func refName(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// field is a parameter or a member of an object as the page shows it.
type field struct {
	Name     string
	Where    string // for parameters: path, query or header
	Type     kind
	Required bool
	Answered bool // the server sends it: then "optional" is worth saying, "required" is not
	Doc      template.HTML
	Limits   []template.HTML
	Values   []choice
	Fields   []field // of an object that has no section of its own
}

// kind is what a value is: Words, and the name of an object that has a section.
type kind struct{ Words, Object string }

// choice is one of the values that a field takes.
type choice struct {
	Value string
	Doc   template.HTML
}

// fields returns the fields of an object.
func (d *schemas) fields(s *schema) []field {
	s = d.resolve(s)
	var list []field
	for _, m := range s.members() {
		f := d.field(m.Key, m.Value)
		f.Required = slices.Contains(s.Required, m.Key)
		list = append(list, f)
	}
	return list
}

// answered marks the fields as sent by the server.
func answered(fields []field) []field {
	for i := range fields {
		fields[i].Answered = true
		answered(fields[i].Fields)
	}
	return fields
}

func (d *schemas) field(name string, s *schema) field {
	f := field{Name: name, Type: d.kind(s), Doc: prose(s.Description)}
	s = d.resolve(s)
	if f.Doc == "" {
		f.Doc = prose(s.Description)
	}
	f.Limits = limits(s)
	for _, one := range s.OneOf {
		if !one.Const.IsZero() {
			f.Values = append(f.Values, choice{one.Const.Value, prose(one.Description)})
		}
	}
	inner := s
	if s.Items != nil {
		inner = d.resolve(s.Items)
	}
	if len(inner.Properties) > 0 && f.Type.Object == "" {
		f.Fields = d.fields(inner)
	}
	return f
}

// kind returns what a value of this schema is.
func (d *schemas) kind(s *schema) kind {
	name := ""
	if s.Ref != "" && d.linked[refName(s.Ref)] {
		name = refName(s.Ref)
	}
	s = d.resolve(s)
	if s.Items != nil {
		item := d.kind(s.Items)
		item.Words = strings.TrimSpace("list of " + item.Words)
		return item
	}
	if name != "" {
		return kind{Object: name}
	}
	words := strings.Join(s.Type, " or ")
	if s.Format == "date-time" {
		words = strings.Replace(words, "string", "RFC 3339 time", 1)
	}
	return kind{Words: words}
}

// limits returns what else is required of a value.
func limits(s *schema) []template.HTML {
	var list []template.HTML
	say := func(format string, args ...any) {
		list = append(list, template.HTML(template.HTMLEscapeString(fmt.Sprintf(format, args...))))
	}
	code := func(before, s string) {
		list = append(list, template.HTML(before+"<code>"+template.HTMLEscapeString(s)+"</code>"))
	}
	switch {
	case !s.Const.IsZero():
		code("always ", text(&s.Const))
	case len(s.Enum) == 1:
		code("always ", text(&s.Enum[0]))
	case len(s.Enum) > 1:
		var values []string
		for i := range s.Enum {
			values = append(values, "<code>"+template.HTMLEscapeString(text(&s.Enum[i]))+"</code>")
		}
		list = append(list, template.HTML("one of "+strings.Join(values, ", ")))
	}
	switch {
	case s.MinLength > 0 && s.MaxLength > 0:
		say("%d to %d characters", s.MinLength, s.MaxLength)
	case s.MaxLength > 0:
		say("at most %d characters", s.MaxLength)
	case s.MinLength > 0:
		say("at least %d characters", s.MinLength)
	}
	if s.MaxItems > 0 {
		say("at most %d", s.MaxItems)
	}
	if s.Pattern != "" {
		code("matches ", s.Pattern)
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	switch {
	case s.Minimum != nil && s.Maximum != nil:
		say("%s to %s", number(*s.Minimum), number(*s.Maximum))
	case s.Minimum != nil:
		say("%s or more", number(*s.Minimum))
	case s.Maximum != nil:
		say("at most %s", number(*s.Maximum))
	}
	if !s.Default.IsZero() {
		code("by default ", text(&s.Default))
	}
	return list
}

// prose returns a description as HTML: paragraphs, lists of lines that begin with a dash, and code for words in backticks.
func prose(s string) template.HTML {
	var b strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if block == "" {
			continue
		}
		if items, ok := strings.CutPrefix(block, "- "); ok {
			b.WriteString("<ul>")
			for item := range strings.SplitSeq(items, "\n- ") {
				b.WriteString("<li>" + inline(item) + "</li>")
			}
			b.WriteString("</ul>")
			continue
		}
		b.WriteString("<p>" + inline(block) + "</p>")
	}
	return template.HTML(b.String())
}

// inline returns text as HTML, with code for words in backticks.
func inline(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		b.WriteString(part)
	}
	return b.String()
}
