package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// messageList is an answer with a room's messages: those after since, or the newest if it is nil. head and tail are the JSON
// around the list, body is a message in it.
type messageList struct {
	room       string
	since      *int64
	limit      int
	head, tail string
	body       func(*rooms.Message) any
}

// answer reads a part of the list and writes it, and then the next, so that a request holds one part in memory.
func (l messageList) answer(ctx context.Context, service rooms.Service) (*huma.StreamResponse, error) {
	messages, more, err := service.Messages(ctx, l.room, l.since, l.limit)
	if err != nil {
		return nil, problemOf(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		out := listWriter{context: hc}
		out.json = json.NewEncoder(&out.buf)
		out.json.SetEscapeHTML(false)
		out.buf.WriteString(l.head)
		for between := ""; out.err == nil; {
			for _, m := range messages {
				out.buf.WriteString(between)
				out.add(l.body(m))
				between = ","
			}
			if !more {
				break
			}
			last := messages[len(messages)-1]
			l.limit -= len(messages)
			messages, more, err = service.Messages(ctx, l.room, &last.Seq, l.limit)
			if err != nil || len(messages) > 0 && messages[0].Generation != last.Generation {
				// It cannot be taken back that the answer began well: the client sees that it was cut off.
				panic(http.ErrAbortHandler)
			}
			if len(messages) == 0 {
				break // they have been deleted
			}
		}
		out.buf.WriteString(l.tail + "\n")
		out.flush()
	}}, nil
}

// listWriter encodes values one by one.
type listWriter struct {
	context huma.Context
	buf     bytes.Buffer
	json    *json.Encoder // to buf
	err     error         // of writing: the client has gone
}

func (w *listWriter) add(v any) {
	if w.err != nil {
		return
	}
	if w.err = w.json.Encode(v); w.err != nil {
		return
	}
	w.buf.Truncate(w.buf.Len() - len("\n"))
	if w.buf.Len() >= 4<<10 {
		w.flush()
	}
}

func (w *listWriter) flush() {
	if w.err == nil {
		_, w.err = w.context.BodyWriter().Write(w.buf.Bytes())
	}
	w.buf.Reset()
}

// answersLike documents the answer of a call that writes it itself: it is like T's Body.
func answersLike[T any](api huma.API) map[string]*huma.Response {
	t := reflect.TypeFor[T]()
	body, _ := t.FieldByName("Body")
	schema := huma.SchemaFromField(api.OpenAPI().Components.Schemas, body, t.Name()+"Body")
	return map[string]*huma.Response{strconv.Itoa(http.StatusOK): {
		Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}}
}
