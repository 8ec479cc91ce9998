package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// userBody is a user in answers.
type userBody struct {
	ID      string    `json:"id" doc:"The user's id, for user_id in messages" example:"017ccd2c-6979-72f1-9c4e-5d7a1b30aa11"`
	Name    string    `json:"name" doc:"What people call the user" example:"Ada Lovelace"`
	Handle  string    `json:"handle" doc:"A name that nobody else has" example:"ada"`
	Created time.Time `json:"created_date" doc:"When the user was registered" example:"2021-10-29T17:50:12.345Z"`
	Updated time.Time `json:"last_updated_date" doc:"When the user was last changed" example:"2021-10-29T17:50:12.345Z"`
}

func userOf(u rooms.User) userBody { return userBody{u.ID, u.Name, u.Handle, u.CreatedAt, u.UpdatedAt} }

type (
	createUser struct {
		Body struct {
			Name   string `json:"name" minLength:"1" maxLength:"128" doc:"What people call the user" example:"Ada Lovelace"`
			Handle string `json:"handle" example:"ada" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$" patternDescription:"A-Z a-z 0-9 _ . -" doc:"A name that nobody else has"`
		}
	}
	userAnswer  struct{ Body userBody }
	usersAnswer struct {
		Body struct {
			Users []userBody `json:"users" nullable:"false" doc:"All users"`
			Total int        `json:"total" doc:"How many users there are"`
		}
	}
)

func (s *Server) users(api huma.API) {
	tags := []string{tagUsers}
	huma.Register(api, huma.Operation{
		OperationID: "create-user", Method: http.MethodPost, Path: "/users", Tags: tags, Summary: "Register a user",
		DefaultStatus: http.StatusCreated, Errors: []int{409, 422, 503},
	}, func(ctx context.Context, in *createUser) (*userAnswer, error) {
		u, err := s.cfg.Service.CreateUser(ctx, in.Body.Name, in.Body.Handle)
		if err != nil {
			return nil, problemOf(err)
		}
		return &userAnswer{userOf(u)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/users", Tags: tags, Summary: "All users", Errors: []int{503},
	}, func(ctx context.Context, _ *struct{}) (*usersAnswer, error) {
		list, err := s.cfg.Service.Users(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &usersAnswer{}
		out.Body.Users = mapped(list, userOf)
		out.Body.Total = len(list)
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-user", Method: http.MethodGet, Path: "/users/{id}", Tags: tags, Summary: "One user", Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*userAnswer, error) {
		u, err := s.cfg.Service.User(ctx, in.ID)
		if err != nil {
			return nil, problemOf(err)
		}
		return &userAnswer{userOf(u)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "delete-user", Method: http.MethodDelete, Path: "/users/{id}", Tags: tags, Summary: "Delete a user",
		Description:   "What the user has said stays. Messages can no longer be posted as this user; the handle is free again.",
		DefaultStatus: http.StatusOK, Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*removedAnswer, error) {
		if err := s.cfg.Service.DeleteUser(ctx, in.ID); err != nil {
			return nil, problemOf(err)
		}
		return removed(), nil
	})
}
