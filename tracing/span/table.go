package span

import (
	"iter"
	"maps"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Limits bound what a span holds: much of it was chosen by clients.
type Limits struct {
	Text   int // bytes of one text; a longer one is cut and ends in CutMark
	Events int // events of one span; those beyond are dropped and counted
}

// Table declares what the spans of a program say. Its fields are set before it is used and do not change afterwards; Declare,
// Text and Number must not be called while spans are made. All other methods may be called from any goroutine.
type Table struct {
	Limits Limits
	// Connection is the key of the attribute that holds the id of a span's connection.
	Connection attribute.Key
	// Names gives the module and the function of a span that no operation declares, one of a library, from the names of the
	// span and of its instrumentation scope.
	Names func(name, scope string) (module, function string)
	// Thread names the logical thread in which a module works for the connection with this id; the id may be empty.
	Thread func(module, connectionID string) string

	operations map[string]*Operation
	keys       map[attribute.Key]*Key
}

// Operation declares one thing that a program does and makes spans of. Its fields do not change once it is used.
type Operation struct {
	Name     string // of its spans
	Kind     trace.SpanKind
	Module   string // where it is done, and by what, for logs and metrics
	Function string
	Group    string // of the traces that begin with it, for Observers that keep groups apart
	Linked   bool   // its spans are linked to the span that opened their connection
	Many     bool   // its spans mostly have more than six attributes of their own
	Gains    int    // how many of these they mostly get after their start
	Shares   int    // how many of its ConnectionKind's attributes its spans have
	// Attrs are attributes that all its spans have.
	Attrs []attribute.KeyValue
}

// Declare adds an operation to the table. Its name must not have been declared before.
func (t *Table) Declare(op Operation) *Operation {
	if t.operations == nil {
		t.operations = make(map[string]*Operation)
	}
	if t.operations[op.Name] != nil {
		panic("span: operation " + op.Name + " is declared twice")
	}
	t.operations[op.Name] = &op
	return &op
}

// Operation returns the operation whose spans have this name, or nil.
func (t *Table) Operation(name string) *Operation { return t.operations[name] }

// Operations returns the declared operations, in no order.
func (t *Table) Operations() iter.Seq[*Operation] { return maps.Values(t.operations) }

// NamesOf returns the module and the function of a span with this name and instrumentation scope.
func (t *Table) NamesOf(name, scope string) (module, function string) {
	if op := t.operations[name]; op != nil {
		return op.Module, op.Function
	}
	return t.Names(name, scope)
}

// ConnectionID returns the id of the connection among the attributes of a span, or an empty string.
func (t *Table) ConnectionID(attrs []attribute.KeyValue) string {
	for i := range attrs {
		if attrs[i].Key == t.Connection {
			return attrs[i].Value.AsString()
		}
	}
	return ""
}
