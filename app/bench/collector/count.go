package collector

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed says that a body is not the protobuf that it should be.
var ErrMalformed = errors.New("collector: malformed protobuf")

// Field numbers of opentelemetry-proto v1.
const (
	requestResourceSpans = 1 // ExportTraceServiceRequest.resource_spans
	resourceScopeSpans   = 2 // ResourceSpans.scope_spans
	scopeSpans           = 2 // ScopeSpans.spans
)

// Count returns how many spans an ExportTraceServiceRequest holds. It looks at lengths only: a span's inside may be
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

// each calls f with every length-delimited field of message that has this number.
func each(message []byte, number uint64, f func([]byte) error) error {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 || key>>3 == 0 {
			return ErrMalformed
		}
		message = message[n:]
		var size uint64
		switch key & 7 {
		case 0: // varint
			_, n = binary.Uvarint(message)
			if n <= 0 {
				return ErrMalformed
			}
			size = uint64(n)
		case 1: // 64 bit
			size = 8
		case 2: // length-delimited
			size, n = binary.Uvarint(message)
			if n <= 0 {
				return ErrMalformed
			}
			message = message[n:]
		case 5: // 32 bit
			size = 4
		default:
			return ErrMalformed
		}
		if size > uint64(len(message)) {
			return ErrMalformed
		}
		if key>>3 == number {
			if key&7 != 2 {
				return ErrMalformed
			}
			if err := f(message[:size]); err != nil {
				return err
			}
		}
		message = message[size:]
	}
	return nil
}
