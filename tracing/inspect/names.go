package inspect

// name is one operation: a module's function, as the lines have it.
type name struct {
	module, function string
	full             string // module.function
	traits
}

// traits is what reading a log takes to know of an operation beyond its lines.
type traits struct {
	async  bool   // may begin after its parent ended, and outlive it
	under  string // async only under a parent with this function
	remote bool   // may have its parent in another program: it takes up a trace context that came from outside
}

// known holds the operations that are not plain: by function, or by module with a dot behind it.
var known = map[string]traits{
	"deliver":   {async: true},
	"relay":     {async: true, remote: true},
	"broadcast": {async: true, under: "leave"}, // nodes that share rooms say that a client has gone when the store knows it
	"join":      {async: true, under: "connect", remote: true},
	"leave":     {remote: true},
	"receive":   {remote: true},
	"connect":   {remote: true},
	"http.":     {remote: true},
}

// outlives tells whether n may outlive a parent of the given function.
func (n *name) outlives(parent string) bool {
	return n.async && (n.under == "" || n.under == parent)
}

// maxNames bounds the operations told apart. A sound log has some dozens; a broken or hostile one must not eat memory.
const maxNames = 10_000

// names hands out one name value for each operation.
type names struct {
	m   map[string]*name
	buf []byte
}

// other stands for all operations beyond maxNames.
var other = &name{function: "(other)", full: "(other)"}

func (n *names) of(l *line) *name {
	n.buf = append(append(append(n.buf[:0], l.module...), '.'), l.function...)
	if v := n.m[string(n.buf)]; v != nil {
		return v
	}
	if len(n.m) >= maxNames {
		return other
	}
	v := &name{module: string(l.module), function: string(l.function), full: string(n.buf)}
	if v.module == "" {
		v.full = v.function
	}
	v.traits = known[v.function]
	if t, ok := known[v.module+"."]; ok {
		v.traits = t
	}
	if n.m == nil {
		n.m = make(map[string]*name)
	}
	n.m[string(n.buf)] = v
	return v
}
