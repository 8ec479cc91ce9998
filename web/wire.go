package web

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/web/ws"
)

// wire is the rooms.Format of WebSocket: whole text frames of JSON (see asyncapi.yaml).
type wire struct{}

var _ rooms.Format = wire{}

// Transport implements rooms.Format.
func (wire) Transport() string { return "websocket" }

// Append implements rooms.Format.
func (wire) Append(dst []byte, ev *rooms.Event, ref string) []byte {
	dst, start := ws.BeginFrame(dst)
	switch ev.Kind {
	case rooms.EventMessage:
		dst = appendMessage(dst, ev.Message, ev.Trace, ref)
	case rooms.EventHistory:
		dst = append(dst, `{"type":"history","room_id":`...)
		dst = appendQuoted(dst, ev.RoomID)
		dst = append(dst, `,"messages":[`...)
		for i, m := range ev.History {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendMessage(dst, m, m.Trace, "")
		}
		dst = append(dst, ']')
		dst = appendField(dst, "epoch", ev.Epoch)
		if ev.Truncated {
			dst = append(dst, `,"truncated":true`...)
		}
		if ev.Reset {
			dst = append(dst, `,"reset":true`...)
		}
		if ev.More {
			dst = append(dst, `,"more":true`...)
		}
		dst = append(dst, '}')
	default:
		dst = appendNotice(dst, ev)
	}
	return ws.EndFrame(dst, start, ws.Text)
}

// appendNotice appends the JSON of an event other than a message or a history.
func appendNotice(dst []byte, ev *rooms.Event) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, ev.Kind.String()...)
	dst = append(dst, '"')
	if ev.ClientID != "" {
		dst = appendField(dst, "client_id", ev.ClientID)
	}
	dst = appendField(dst, "room_id", ev.RoomID)
	if ev.Kind == rooms.EventJoined || ev.Kind == rooms.EventLeft {
		dst = append(dst, `,"participant_count":`...)
		dst = strconv.AppendInt(dst, int64(ev.Participants), 10)
	}
	return append(dst, '}')
}

func appendMessage(dst []byte, m *rooms.Message, trace rooms.TraceContext, ref string) []byte {
	dst = append(dst, `{"type":"message"`...)
	dst = appendField(dst, "client_id", m.ClientID)
	dst = appendField(dst, "text", m.Text)
	dst = appendField(dst, "room_id", m.RoomID)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, m.CreatedAt.UnixMilli(), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, m.Seq, 10)
	dst = appendField(dst, "id", m.ID)
	if m.IsReply {
		dst = append(dst, `,"is_reply":true`...)
	}
	if m.ParentID != "" {
		dst = appendField(dst, "parent_message_id", m.ParentID)
	}
	if trace.Parent != "" {
		dst = appendField(dst, "traceparent", trace.Parent)
	}
	if trace.State != "" {
		dst = appendField(dst, "tracestate", trace.State)
	}
	if ref != "" {
		dst = appendField(dst, "ref", ref)
	}
	return append(dst, '}')
}

// appendError appends an error frame.
func appendError(dst []byte, code rooms.Code, detail, ref string) []byte {
	dst, start := ws.BeginFrame(dst)
	dst = append(dst, `{"type":"error"`...)
	dst = appendField(dst, "code", string(code))
	dst = appendField(dst, "detail", detail)
	if ref != "" {
		dst = appendField(dst, "ref", ref)
	}
	return ws.EndFrame(append(dst, '}'), start, ws.Text)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return appendQuoted(dst, value)
}

// appendQuoted appends s as a JSON string. The error would be about text that is not UTF-8, which is not let in.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
