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

// messageList answers a request for a room's messages. head is how its JSON object begins; body returns what is encoded for a
// message.
type messageList struct {
	room  string
	query rooms.Query
	head  string
	body  func(*rooms.Message) any
}

// answer reads and writes the list part by part, so that a request holds only one part in memory.
func (l messageList) answer(ctx context.Context, service rooms.Service) (*huma.StreamResponse, error) {
	page, err := service.Messages(ctx, l.room, l.query)
	if err != nil {
		return nil, problemOf(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		out := listWriter{context: hc}
		out.json = json.NewEncoder(&out.buf)
		out.json.SetEscapeHTML(false)
		out.buf.WriteString(l.head + `,"epoch":"` + page.Epoch + `"`)
		if page.Reset {
			out.buf.WriteString(`,"reset":true`)
		}
		out.buf.WriteString(`,"messages":[`)
		for between := ""; out.err == nil; {
			for _, m := range page.Messages {
				out.buf.WriteString(between)
				out.add(l.body(m))
				between = ","
			}
			if !page.More {
				break
			}
			last := page.Messages[len(page.Messages)-1]
			before := page.Epoch
			l.query = rooms.Query{Since: &last.Seq, Epoch: before, Limit: l.query.Limit - len(page.Messages)}
			page, err = service.Messages(ctx, l.room, l.query)
			if err != nil || page.Epoch != before {
				// The status has been sent: all that can be done is to cut the answer off, which the client notices.
				panic(http.ErrAbortHandler)
			}
			if len(page.Messages) == 0 {
				break // the rest has been deleted
			}
		}
		out.buf.WriteString("]}\n")
		out.flush()
	}}, nil
}

// listWriter encodes values one by one, and writes them when there are 4 KiB.
type listWriter struct {
	context huma.Context
	buf     bytes.Buffer
	json    *json.Encoder // to buf
	err     error         // of writing; after it nothing more is written
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

// answersLike documents the answer of a call that writes its answer itself: it has the form of T's Body.
func answersLike[T any](api huma.API) map[string]*huma.Response {
	t := reflect.TypeFor[T]()
	body, _ := t.FieldByName("Body")
	schema := huma.SchemaFromField(api.OpenAPI().Components.Schemas, body, t.Name()+"Body")
	return map[string]*huma.Response{strconv.Itoa(http.StatusOK): {
		Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}}
}
