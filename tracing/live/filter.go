package live

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
)

// MaxListed is how many traces are looked at for a list.
const MaxListed = 1000

// Filter says which traces somebody wants to see: those for which every field holds that is not empty.
type Filter struct {
	Room       string
	Operation  string // a function of the trace log, or a span's name in upper or lower case; of any span
	Connection string // its id, or its thread such as conn-17
	Least      time.Duration
	Errors     bool   // that something failed
	Text       string // in ids, names, attributes or errors, in upper or lower case
	Limit      int    // the newest so many; at most MaxListed
}

// all reports whether the filter lets every trace through.
func (f *Filter) all() bool {
	return f.Room == "" && f.Operation == "" && f.Connection == "" && f.Least <= 0 && !f.Errors && f.Text == ""
}

// matches reports whether f lets t through. It looks at the spans without copying them. f.Text is in lower case.
func (s *Store) matches(f *Filter, t *taken, now time.Time) bool {
	if f.all() {
		return true
	}
	table := s.config.Table
	room, operation, connection, failed := f.Room == "", f.Operation == "", f.Connection == "", !f.Errors
	text := f.Text == "" || strings.Contains(t.id.String(), f.Text)
	var start, end time.Time
	for _, o := range t.spans {
		if f.Least > 0 {
			began, ended := o.StartTime(), o.EndTime()
			if ended.IsZero() {
				ended = now
			}
			if start.IsZero() || began.Before(start) {
				start = began
			}
			if ended.After(end) {
				end = ended
			}
		}
		if !failed {
			failed = o.Status().Code == codes.Error
		}
		if operation && room && connection && text {
			continue
		}
		name := o.Name()
		if !operation {
			_, function := table.NamesOf(name, o.InstrumentationScope().Name)
			operation = function == f.Operation || strings.EqualFold(name, f.Operation)
		}
		if !text {
			text = strings.Contains(strings.ToLower(name), f.Text) || strings.Contains(strings.ToLower(o.Status().Description), f.Text)
		}
		if room && connection && text {
			continue
		}
		for _, a := range o.Attributes() {
			switch a.Key {
			case s.config.Room:
				room = room || a.Value.AsString() == f.Room
			case table.Connection:
				id := a.Value.AsString()
				connection = connection || id == f.Connection || table.Thread("", id) == f.Connection
			}
			text = text || containsText(a, f.Text)
		}
	}
	return room && operation && connection && failed && text && (f.Least <= 0 || end.Sub(start) >= f.Least)
}

func containsText(a attribute.KeyValue, text string) bool {
	return strings.Contains(strings.ToLower(a.Value.String()), text)
}

// Find returns summaries of the newest traces that match, those that began last first, and how many match in all.
func (s *Store) Find(f Filter) (list []Summary, matching int) {
	f.Text = strings.ToLower(f.Text)
	now := time.Now()
	traces, _, _ := s.since(0, MaxListed)
	list = make([]Summary, 0, min(len(traces), f.Limit))
	for i := range traces {
		if !s.matches(&f, &traces[i], now) {
			continue
		}
		if matching++; matching <= f.Limit {
			list = append(list, s.see(traces[i], now).summary())
		}
	}
	newestFirst(list)
	return list, matching
}
