package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// How many traces an answer lists.
const (
	defaultListed = 100
	mostListed    = 1000
)

// liveFilter says which traces somebody wants to see: those of which every field that is not empty holds.
type liveFilter struct {
	room       string
	operation  string // a function of the trace log, or a span's name; of any span
	connection string // its id, or its thread such as conn-17
	least      time.Duration
	errors     bool
	text       string // in ids, names, attributes or errors, in lower case
	limit      int
}

// parseLiveFilter reads a query. The error says what cannot be used.
func parseLiveFilter(q url.Values) (f liveFilter, err error) {
	f = liveFilter{
		room: q.Get("room"), operation: q.Get("operation"), connection: q.Get("connection"),
		text: strings.ToLower(strings.TrimSpace(q.Get("text"))), limit: defaultListed,
	}
	var wrong []error
	if min := q.Get("min"); min != "" {
		if ms, err := strconv.ParseFloat(min, 64); err == nil {
			f.least = time.Duration(ms * float64(time.Millisecond))
		} else if f.least, err = time.ParseDuration(min); err != nil {
			wrong = append(wrong, fmt.Errorf("min: %q is no duration such as 10ms", min))
		}
	}
	if is := q.Get("errors"); is != "" {
		if f.errors, err = strconv.ParseBool(is); err != nil {
			wrong = append(wrong, fmt.Errorf("errors: %q is neither true nor false", is))
		}
	}
	if limit := q.Get("limit"); limit != "" {
		if f.limit, err = strconv.Atoi(limit); err != nil || f.limit < 1 || f.limit > mostListed {
			wrong = append(wrong, fmt.Errorf("limit: %q is no number from 1 to %d", limit, mostListed))
		}
	}
	return f, errors.Join(wrong...)
}

// all reports whether the filter lets every trace through.
func (f *liveFilter) all() bool {
	return f.room == "" && f.operation == "" && f.connection == "" && f.least <= 0 && !f.errors && f.text == ""
}

// matches looks at the spans without copying them.
func (f *liveFilter) matches(t *takenTrace, now time.Time) bool {
	if f.all() {
		return true
	}
	room, operation, connection, failed := f.room == "", f.operation == "", f.connection == "", !f.errors
	text := f.text == "" || strings.Contains(t.id.String(), f.text)
	var start, end time.Time
	for _, s := range t.spans {
		if f.least > 0 {
			began, ended := s.StartTime(), s.EndTime()
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
			failed = s.Status().Code == codes.Error
		}
		if operation && room && connection && text {
			continue
		}
		name := s.Name()
		if !operation {
			_, function := names(name, s.InstrumentationScope().Name)
			operation = function == f.operation || strings.EqualFold(name, f.operation)
		}
		if !text {
			text = strings.Contains(strings.ToLower(name), f.text) || strings.Contains(strings.ToLower(s.Status().Description), f.text)
		}
		if room && connection && text {
			continue
		}
		for _, a := range s.Attributes() {
			switch a.Key {
			case semconv.MessagingDestinationNameKey:
				room = room || a.Value.AsString() == f.room
			case keyConnection.name:
				id := a.Value.AsString()
				connection = connection || id == f.connection || threadName(id) == f.connection
			}
			text = text || containsText(a, f.text)
		}
	}
	return room && operation && connection && failed && text && (f.least <= 0 || end.Sub(start) >= f.least)
}

func containsText(a attribute.KeyValue, text string) bool {
	return strings.Contains(strings.ToLower(a.Value.String()), text)
}
