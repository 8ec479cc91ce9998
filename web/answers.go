package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// What several REST calls take and answer.
type (
	idPath struct {
		ID string `path:"id"`
	}
	// removedAnswer says in the message API that something is deleted.
	removedAnswer struct {
		Body struct {
			Deleted bool `json:"deleted" doc:"That it is done" example:"true"`
		}
	}
)

func removed() *removedAnswer {
	out := &removedAnswer{}
	out.Body.Deleted = true
	return out
}

// optional is a parameter that may be absent, made as huma's documentation says.
type optional[T any] struct {
	value T
	set   bool
}

// Schema implements huma.SchemaProvider.
func (optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(&o.value).Elem() }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(set bool, _ any) { o.set = set }

// pointer returns the value, or nil if the parameter is absent.
func (o *optional[T]) pointer() *T {
	if !o.set {
		return nil
	}
	return &o.value
}

// mapped returns f of each element. The result is never nil, so that JSON has a list.
func mapped[T, U any](list []T, f func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}
