package collector

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed reports a body that is not a well-formed ExportTraceServiceRequest.
var ErrMalformed = errors.New("collector: malformed protobuf")

// Field numbers of opentelemetry-proto v1.
const (
	requestResourceSpans = 1 // ExportTraceServiceRequest.resource_spans
	resourceScopeSpans   = 2 // ResourceSpans.scope_spans
	scopeSpans           = 2 // ScopeSpans.spans
)

// Count returns how many spans an ExportTraceServiceRequest holds. It does not look into the spans: their content may be
// anything.
func Count(request []byte) (spans int, err error) {
	err = each(request, requestResourceSpans, func(resource []byte) error {
		return each(resource, resourceScopeSpans, func(scope []byte) error {
			return each(scope, scopeSpans, func([]byte) error {
				spans++
				return nil
			})
		})
	})
	return spans, err
}

// each calls f with every length-delimited field of message that has the given number.
func each(message []byte, number protowire.Number, f func([]byte) error) error {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return ErrMalformed
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(field, kind, message); n < 0 {
			return ErrMalformed
		}
		if field == number {
			value, size := protowire.ConsumeBytes(message)
			if kind != protowire.BytesType || size < 0 {
				return ErrMalformed
			}
			if err := f(value); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}
