package tracing

import (
	"encoding/base64"
	"encoding/hex"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// otlpJSON is the trace as OTLP's JSON has it (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding), which
// Jaeger's and others' upload takes. Spans that are open end now, and say so by the attribute traceroom.open.
func (l *live) otlpJSON(t takenTrace) ([]byte, error) {
	var batch spanBatch
	for _, s := range t.spans {
		place := batch.of(s.InstrumentationScope(), nil)
		place.message = appendSpan(place.message, s)
	}
	raw := appendResource(nil, l.resource)
	for _, s := range batch.scopes {
		raw = append(raw, endMessage(s.message, s.begin, long)...)
	}
	spans := &tracepb.ResourceSpans{}
	if err := proto.Unmarshal(raw, spans); err != nil {
		return nil, err
	}
	now := uint64(time.Now().UnixNano())
	for _, scope := range spans.ScopeSpans {
		for _, s := range scope.Spans {
			if s.EndTimeUnixNano == 0 {
				s.EndTimeUnixNano = max(now, s.StartTimeUnixNano)
				s.Attributes = append(s.Attributes, &commonpb.KeyValue{
					Key: "traceroom.open", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}},
				})
			}
			s.TraceId, s.SpanId, s.ParentSpanId = inHex(s.TraceId), inHex(s.SpanId), inHex(s.ParentSpanId)
			for _, link := range s.Links {
				link.TraceId, link.SpanId = inHex(link.TraceId), inHex(link.SpanId)
			}
		}
	}
	return protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{spans}})
}

// inHex returns the bytes which protojson, that writes bytes in base64, will write as id in hexadecimal digits, as OTLP
// wants ids: these digits are all digits of base64 too, and an id's are a multiple of four.
func inHex(id []byte) []byte {
	text := hex.EncodeToString(id)
	b, _ := base64.StdEncoding.DecodeString(text) // cannot fail, see above
	return b
}
