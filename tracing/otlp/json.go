package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON returns spans as OTLP's JSON has them (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), which the upload
// of Jaeger and of others takes. Spans that are open end now, and have the attribute open, which is true.
func JSON(res *resource.Resource, spans []sdktrace.ReadOnlySpan, open string) ([]byte, error) {
	var all batch
	for _, s := range spans {
		place := all.of(s.InstrumentationScope(), nil)
		place.message = appendSpan(place.message, s)
	}
	raw := appendResource(nil, res)
	for _, s := range all.scopes {
		raw = append(raw, endMessage(s.message, s.begin, long)...)
	}
	message := &tracepb.ResourceSpans{}
	if err := proto.Unmarshal(raw, message); err != nil {
		return nil, err
	}
	now := uint64(time.Now().UnixNano())
	for _, scope := range message.ScopeSpans {
		for _, s := range scope.Spans {
			if s.EndTimeUnixNano == 0 {
				s.EndTimeUnixNano = max(now, s.StartTimeUnixNano)
				s.Attributes = append(s.Attributes, &commonpb.KeyValue{
					Key: open, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
				})
			}
			s.TraceId, s.SpanId, s.ParentSpanId = inHex(s.TraceId), inHex(s.SpanId), inHex(s.ParentSpanId)
			for _, link := range s.Links {
				link.TraceId, link.SpanId = inHex(link.TraceId), inHex(link.SpanId)
			}
		}
	}
	return protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{message}})
}

// inHex returns the bytes that protojson, which writes bytes in base64, writes as id in hexadecimal digits, as OTLP has ids.
// Hexadecimal digits are digits of base64 too, and those of an id are a multiple of four.
func inHex(id []byte) []byte {
	text := hex.EncodeToString(id)
	b, _ := base64.StdEncoding.DecodeString(text) // cannot fail, see above
	return b
}
