package span

import "go.opentelemetry.io/otel/attribute"

// Key is the key of an attribute: its name, the type of its values, and its names in logs.
type Key struct {
	name        attribute.Key
	number      bool
	arg, result string
	most        int // bytes of a text
}

// Text adds the key of a text. arg is its name among the arguments of an operation, result its name in an operation's
// result; where it is empty, the attribute is left out there.
func (t *Table) Text(name attribute.Key, arg, result string) *Key {
	return t.add(&Key{name: name, arg: arg, result: result, most: t.Limits.Text})
}

// Number is Text for integers.
func (t *Table) Number(name attribute.Key, arg, result string) *Key {
	return t.add(&Key{name: name, number: true, arg: arg, result: result})
}

func (t *Table) add(k *Key) *Key {
	if t.keys == nil {
		t.keys = make(map[attribute.Key]*Key)
	}
	t.keys[k.name] = k
	return k
}

// Name returns the key as OpenTelemetry has it.
func (k *Key) Name() attribute.Key { return k.name }

// IsNumber reports whether the key's values are integers. If not, they are text.
func (k *Key) IsNumber() bool { return k.number }

// Arg returns the key's name among the arguments of an operation, empty if it is left out there.
func (k *Key) Arg() string { return k.arg }

// Result returns the key's name in an operation's result, empty if it is left out there.
func (k *Key) Result() string { return k.result }

// Attr is an attribute of a span: half the size of OpenTelemetry's, and made without allocating.
type Attr struct {
	key    *Key
	text   string
	number int64 // if key.number
}

// Of returns the attribute with the text v, which is cut if it is longer than the table's limit.
func (k *Key) Of(v string) Attr {
	if len(v) > k.most {
		v = Cut(v, k.most)
	}
	return Attr{key: k, text: v}
}

// Int returns the attribute with the number v.
func (k *Key) Int(v int) Attr { return Attr{key: k, number: int64(v)} }

// Int64 returns the attribute with the number v.
func (k *Key) Int64(v int64) Attr { return Attr{key: k, number: v} }

// Key returns the attribute's key.
func (a *Attr) Key() *Key { return a.key }

// Text returns the attribute's value if its key is one of text.
func (a *Attr) Text() string { return a.text }

// Int64 returns the attribute's value if its key is one of integers.
func (a *Attr) Int64() int64 { return a.number }

// KeyValue returns the attribute as OpenTelemetry has it.
func (a *Attr) KeyValue() attribute.KeyValue {
	if a.key.number {
		return a.key.name.Int64(a.number)
	}
	return a.key.name.String(a.text)
}

// attr converts kv; ok is false if the table has no key for it, or one of another type.
func (t *Table) attr(kv attribute.KeyValue) (a Attr, ok bool) {
	k := t.keys[kv.Key]
	switch {
	case k == nil:
		return Attr{}, false
	case k.number && kv.Value.Type() == attribute.INT64:
		return k.Int64(kv.Value.AsInt64()), true
	case !k.number && kv.Value.Type() == attribute.STRING:
		return k.Of(kv.Value.AsString()), true
	}
	return Attr{}, false
}

// AppendAttrs appends those attributes of list that the table has a key for.
func (t *Table) AppendAttrs(attrs []Attr, list []attribute.KeyValue) []Attr {
	for _, kv := range list {
		if a, ok := t.attr(kv); ok {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
