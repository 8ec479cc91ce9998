package web

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// Problem is the answer to a request that could not be served, as application/problem+json (RFC 9457).
type Problem struct {
	Type   string        `json:"type" doc:"A URI that identifies the kind of problem; about:blank says no more than the status does" example:"about:blank"`
	Title  string        `json:"title" doc:"The status in words" example:"Not Found"`
	Status int           `json:"status" doc:"The HTTP status code" example:"404"`
	Detail string        `json:"detail" doc:"What is wrong with this request, and what it takes" example:"room general does not exist"`
	Errors []FieldDetail `json:"errors,omitempty" nullable:"false" doc:"The fields at fault"`
}

// FieldDetail says what is wrong with one field.
type FieldDetail struct {
	Field   string `json:"field" doc:"Where the field is, such as body.name" example:"room_id"`
	Message string `json:"message" doc:"What is wrong with it, or what it takes" example:"room general does not exist"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (*Problem) ContentType(string) string { return "application/problem+json" }

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// statuses are the HTTP statuses of the rooms' errors.
var statuses = map[rooms.Code]int{
	rooms.CodeInvalid:     http.StatusUnprocessableEntity,
	rooms.CodeEmptyText:   http.StatusUnprocessableEntity,
	rooms.CodeTextTooLong: http.StatusUnprocessableEntity,
	rooms.CodeNotFound:    http.StatusNotFound,
	rooms.CodeConflict:    http.StatusConflict,
	rooms.CodeLimit:       http.StatusTooManyRequests,
	rooms.CodeUnavailable: http.StatusServiceUnavailable,
}

// problemOf is err as the client is told it. What was the server's own fault has been logged by who observed the call.
func problemOf(err error) *Problem {
	e := rooms.AsError(err)
	p := newProblem(statuses[e.Code], e.Detail)
	if e.Field != "" {
		p.Errors = []FieldDetail{{Field: e.Field, Message: e.Detail}}
	}
	return p
}

// renamed is err with the name that its field has where the client gave it: the rooms may know it by another.
func renamed(err error, names map[string]string) error {
	e := *rooms.AsError(err)
	name, ok := names[e.Field]
	if !ok {
		return err
	}
	// The details of what is wrong with a field begin with its name.
	if rest, ok := strings.CutPrefix(e.Detail, e.Field+" "); ok {
		e.Detail = name + " " + rest
	}
	e.Field = name
	return &e
}

// Refuse answers a request that cannot be served with a Problem. detail says what is wrong with it and what it takes.
func Refuse(w http.ResponseWriter, status int, detail string) { newProblem(status, detail).write(w) }

// write answers a request outside huma.
func (p *Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	// The client may have gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(p)
}

// humaError is how huma makes the errors of its own, such as those of validation.
func humaError(status int, message string, errs ...error) huma.StatusError {
	p := newProblem(status, message)
	var said []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		if d, ok := err.(huma.ErrorDetailer); ok {
			detail := *d.ErrorDetail()
			if name, ok := strings.CutPrefix(detail.Message, "expected required property "); ok {
				detail.Location += "." + strings.TrimSuffix(name, " to be present")
				detail.Message = "is required"
			}
			p.Errors = append(p.Errors, FieldDetail{Field: detail.Location, Message: detail.Message})
			said = append(said, strings.TrimPrefix(detail.Location, "body.")+": "+detail.Message)
			continue
		}
		said = append(said, err.Error())
	}
	if len(said) > 0 {
		p.Detail = strings.Join(said, "; ")
	}
	return p
}
