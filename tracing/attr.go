package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"google.golang.org/protobuf/encoding/protowire"
)

// key is an attribute's key, in every form in which it is written.
type key struct {
	name   attribute.Key
	number bool   // its values are integers; else they are text
	arg    string // its name among the args of an ENTER line; empty: it is left out there
	result string // its name in the result of an EXIT line: what only the end of an operation knows
	wire   []byte // as the key of an OTLP KeyValue
}

// keys is every key, by its name.
var keys = make(map[attribute.Key]*key)

func newText(name attribute.Key, arg, result string) *key { return newKey(name, false, arg, result) }

func newNumber(name attribute.Key, arg, result string) *key { return newKey(name, true, arg, result) }

func newKey(name attribute.Key, number bool, arg, result string) *key {
	k := &key{name: name, number: number, arg: arg, result: result}
	k.wire = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), string(name))
	keys[name] = k
	return k
}

// The attributes of operations. What OpenTelemetry's semantic conventions have a name for goes by that name.
var (
	keyConnection  = newText("traceroom.connection.id", "connection_id", "")
	keySeq         = newNumber("traceroom.room.seq", "seq", "seq")
	keySince       = newNumber("traceroom.since", "since", "")
	keyRepeated    = newText("traceroom.repeated", "", "repeated") // "true": it was stored before, under its ref
	keyEvent       = newText("traceroom.event", "event", "")
	keyCount       = newNumber("traceroom.count", "", "count")
	keyRecipients  = newNumber("traceroom.recipients", "recipients", "recipients")
	keyWritten     = newNumber("traceroom.written", "", "written")
	keyDropped     = newNumber("traceroom.dropped", "", "dropped")
	keySlowest     = newText("traceroom.slowest", "", "slowest")
	keyCloseCode   = newNumber("traceroom.close.code", "code", "")
	keyCloseReason = newText("traceroom.close.reason", "reason", "")
	keyUser        = newText("traceroom.user.id", "user_id", "")
	keyHandle      = newText("traceroom.user.handle", "handle", "")

	keyRoom      = newText(semconv.MessagingDestinationNameKey, "room_id", "")
	keyClient    = newText(semconv.MessagingClientIDKey, "client_id", "")
	keyMessage   = newText(semconv.MessagingMessageIDKey, "message_id", "message_id")
	keySize      = newNumber(semconv.MessagingMessageBodySizeKey, "text_length", "")
	keyErrorType = newText(semconv.ErrorTypeKey, "", "")
	keyMethod    = newText(semconv.HTTPRequestMethodKey, "method", "")
	keyPath      = newText(semconv.URLPathKey, "path", "")
	keyScheme    = newText(semconv.URLSchemeKey, "", "")
	keyRoute     = newText(semconv.HTTPRouteKey, "", "")
	keyAgent     = newText(semconv.UserAgentOriginalKey, "user_agent", "")
	keyAddress   = newText(semconv.ClientAddressKey, "address", "")
	keyPeer      = newText(semconv.NetworkPeerAddressKey, "", "")
	keyPeerPort  = newNumber(semconv.NetworkPeerPortKey, "", "")
	keyProtocol  = newText(semconv.NetworkProtocolVersionKey, "", "")
	keySystem    = newText(semconv.MessagingSystemKey, "", "")
	keyDatabase  = newText(semconv.DBSystemNameKey, "", "")
	keyBatch     = newNumber(semconv.DBOperationBatchSizeKey, "batch", "")
	keySQLState  = newText(semconv.DBResponseStatusCodeKey, "", "")
	keyStatus    = newNumber(semconv.HTTPResponseStatusCodeKey, "", "status")
)

// attr is an attribute of an operation's span: half the size of OpenTelemetry's, and made without memory of its own.
type attr struct {
	key    *key
	text   string
	number int64 // if key.number
}

// text is an attribute with v, cut if it is too long.
func (k *key) text(v string) attr { return attr{key: k, text: bounded(v)} }

func (k *key) int(v int) attr { return attr{key: k, number: int64(v)} }

func (k *key) int64(v int64) attr { return attr{key: k, number: v} }

// keyValue is a as OpenTelemetry has it.
func (a *attr) keyValue() attribute.KeyValue {
	if a.key.number {
		return a.key.name.Int64(a.number)
	}
	return a.key.name.String(a.text)
}

// attrOf is kv as operations have it; ok says whether it is one of theirs.
func attrOf(kv attribute.KeyValue) (a attr, ok bool) {
	k := keys[kv.Key]
	switch {
	case k == nil:
		return attr{}, false
	case k.number && kv.Value.Type() == attribute.INT64:
		return k.int64(kv.Value.AsInt64()), true
	case !k.number && kv.Value.Type() == attribute.STRING:
		return k.text(kv.Value.AsString()), true
	}
	return attr{}, false
}

// appendAttrs appends those of list that operations have.
func appendAttrs(attrs []attr, list []attribute.KeyValue) []attr {
	for _, kv := range list {
		if a, ok := attrOf(kv); ok {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
