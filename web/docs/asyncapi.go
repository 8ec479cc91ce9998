package docs

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed files/asyncapi.yaml
var asyncAPIFile []byte

// AsyncAPI returns the AsyncAPI 3.0 document of WebSocket and Socket.IO, as YAML. It must not be changed.
func AsyncAPI() []byte { return asyncAPIFile }

// asyncAPI is what the page shows of an AsyncAPI 3.0 document, with all references within channels resolved.
type asyncAPI struct {
	Info struct {
		Description string `yaml:"description"`
	} `yaml:"info"`
	Servers ordered[struct {
		Description string `yaml:"description"`
	}] `yaml:"servers"`
	Channels   ordered[channelSource] `yaml:"channels"`
	Operations ordered[struct {
		Action   string      `yaml:"action"`
		Channel  reference   `yaml:"channel"`
		Messages []reference `yaml:"messages"`
		Reply    struct {
			Messages []reference `yaml:"messages"`
		} `yaml:"reply"`
	}] `yaml:"operations"`
}

type reference struct {
	Ref string `yaml:"$ref"`
}

type channelSource struct {
	Title       string `yaml:"title"`
	Address     string `yaml:"address"`
	Summary     string `yaml:"summary"`
	Description string `yaml:"description"`
	Servers     []struct {
		Description string `yaml:"description"`
	} `yaml:"servers"`
	Parameters ordered[struct {
		Description string `yaml:"description"`
	}] `yaml:"parameters"`
	Bindings struct {
		WS struct {
			Query *schema `yaml:"query"`
		} `yaml:"ws"`
	} `yaml:"bindings"`
	Messages ordered[struct {
		Name        string  `yaml:"name"`
		Title       string  `yaml:"title"`
		Summary     string  `yaml:"summary"`
		Description string  `yaml:"description"`
		Payload     *schema `yaml:"payload"`
		Examples    []struct {
			Summary string    `yaml:"summary"`
			Payload yaml.Node `yaml:"payload"`
		} `yaml:"examples"`
	}] `yaml:"messages"`
	Sample struct {
		Language string `yaml:"language"`
		Code     string `yaml:"code"`
	} `yaml:"x-sample"`
	CloseCodes []struct {
		Code        int    `yaml:"code"`
		Reason      string `yaml:"reason"`
		Reconnect   bool   `yaml:"reconnect"`
		Description string `yaml:"description"`
	} `yaml:"x-close-codes"`
}

// channel is a channel as the page shows it.
type channel struct {
	ID, Title, Address string
	Doc                []template.HTML
	Params             []field
	Heard, Said        []message // what the server receives and sends
	Language, Sample   string
	CloseCodes         []closeCode
}

type closeCode struct {
	Code      int
	Reason    string
	Reconnect bool
	Doc       template.HTML
}

// message is a message as the page shows it.
type message struct {
	ID, Name, Title string
	Doc             []template.HTML
	Fields          []field
	Examples        []sample
	Replies         []link
}

type sample struct {
	Summary string
	JSON    template.HTML
}

type link struct{ ID, Name string }

// parseAsyncAPI reads an AsyncAPI document.
func parseAsyncAPI(doc []byte) (*asyncAPI, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, fmt.Errorf("reading the AsyncAPI document: %w", err)
	}
	if len(root.Content) != 1 {
		return nil, fmt.Errorf("reading the AsyncAPI document: it is empty")
	}
	if err := inlineRefs(root.Content[0], member(root.Content[0], "channels"), 0); err != nil {
		return nil, err
	}
	var api asyncAPI
	if err := root.Decode(&api); err != nil {
		return nil, fmt.Errorf("reading the AsyncAPI document: %w", err)
	}
	return &api, nil
}

// deepest is how many references may follow on each other.
const deepest = 32

// inlineRefs replaces the references below n by what they refer to.
func inlineRefs(root, n *yaml.Node, depth int) error {
	if n == nil {
		return nil
	}
	if depth > deepest {
		return fmt.Errorf("line %d: references lead on and on", n.Line)
	}
	if ref := member(n, "$ref"); ref != nil {
		target := root
		for name := range strings.SplitSeq(strings.TrimPrefix(ref.Value, "#/"), "/") {
			if target = member(target, name); target == nil {
				return fmt.Errorf("line %d: there is no %s", ref.Line, ref.Value)
			}
		}
		*n = *target
		return inlineRefs(root, n, depth+1)
	}
	for _, child := range n.Content {
		if err := inlineRefs(root, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// member returns the value of this name in a mapping, or nil.
func member(n *yaml.Node, name string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// channels returns the channels of the document.
func (api *asyncAPI) channels() []channel {
	var list []channel
	none := &schemas{}
	for _, source := range api.Channels {
		from := source.Value
		c := channel{
			ID: source.Key, Title: from.Title, Address: from.Address, Language: from.Sample.Language,
			Sample: strings.TrimSpace(from.Sample.Code), Doc: []template.HTML{prose(from.Summary), prose(from.Description)},
		}
		for _, s := range from.Servers {
			c.Doc = append(c.Doc, prose(s.Description))
		}
		for _, p := range from.Parameters {
			c.Params = append(c.Params, field{Name: p.Key, Where: "path", Type: kind{Words: "string"}, Required: true, Doc: prose(p.Value.Description)})
		}
		if q := from.Bindings.WS.Query; q != nil {
			for _, f := range none.fields(q) {
				f.Where = "query"
				c.Params = append(c.Params, f)
			}
		}
		for _, code := range from.CloseCodes {
			c.CloseCodes = append(c.CloseCodes, closeCode{code.Code, code.Reason, code.Reconnect, prose(code.Description)})
		}
		for _, op := range api.Operations {
			if refName(op.Value.Channel.Ref) != source.Key {
				continue
			}
			var replies []link
			for _, r := range op.Value.Reply.Messages {
				key := refName(r.Ref)
				if m, ok := from.Messages.get(key); ok {
					replies = append(replies, link{source.Key + "-" + key, m.Name})
				}
			}
			for _, r := range op.Value.Messages {
				key := refName(r.Ref)
				source, ok := from.Messages.get(key)
				if !ok {
					continue
				}
				m := message{
					ID: c.ID + "-" + key, Name: source.Name, Title: source.Title, Replies: replies,
					Doc: []template.HTML{prose(source.Summary), prose(source.Description)}, Fields: none.fields(source.Payload),
				}
				for i := range source.Examples {
					m.Examples = append(m.Examples, sample{source.Examples[i].Summary, painted(&source.Examples[i].Payload)})
				}
				if op.Value.Action == "receive" {
					c.Heard = append(c.Heard, m)
				} else {
					answered(m.Fields)
					c.Said = append(c.Said, m)
				}
			}
		}
		list = append(list, c)
	}
	return list
}
