package span

import (
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
)

// CutMark is what a text ends in that was too long for a span.
const CutMark = "…"

// bounded returns s, cut if it is longer than most bytes.
func bounded(s string, most int) string {
	if len(s) > most {
		return Cut(s, most)
	}
	return s
}

// Cut returns the beginning of s, which must be longer than most bytes, and CutMark, together within most bytes. It does not cut within a
// character. It is a copy, so that the memory of s can be freed.
func Cut(s string, most int) string {
	end := most - len(CutMark)
	for i := range utf8.UTFMax { // text that is not UTF-8 may have no character's beginning here
		if utf8.RuneStart(s[end-i]) {
			end -= i
			break
		}
	}
	return s[:end] + CutMark
}

// boundedValue returns v, cut if it is longer than most bytes. A list of texts is cut as one text.
func boundedValue(v attribute.Value, most int) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		if s := v.AsString(); len(s) > most {
			return attribute.StringValue(Cut(s, most))
		}
	case attribute.STRINGSLICE:
		n := 0
		for _, s := range v.AsStringSlice() {
			n += len(s)
		}
		if n > most {
			return attribute.StringValue(bounded(v.String(), most))
		}
	}
	return v
}

// boundedAttributes returns attrs, each cut if it is longer than most bytes. attrs itself does not change.
func boundedAttributes(attrs []attribute.KeyValue, most int) []attribute.KeyValue {
	for i := range attrs {
		if v := boundedValue(attrs[i].Value, most); v != attrs[i].Value {
			cut := make([]attribute.KeyValue, len(attrs))
			for i, kv := range attrs {
				cut[i] = attribute.KeyValue{Key: kv.Key, Value: boundedValue(kv.Value, most)}
			}
			return cut
		}
	}
	return attrs
}
