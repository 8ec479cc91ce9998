package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// chatroomBody is a room in answers of the message API: the same room, with the same id, as in GET /rooms.
type chatroomBody struct {
	ID      string    `json:"id" doc:"The room's id" example:"017cd252-c579-78b6-a1f2-0c9d3e47bb22"`
	Name    string    `json:"name" doc:"What people call it" example:"Reading group"`
	Created time.Time `json:"created_date" doc:"When it was created" example:"2021-10-30T17:50:12.345Z"`
	Updated time.Time `json:"last_updated_date" doc:"When it was last changed" example:"2021-10-30T17:50:12.345Z"`
}

func chatroomOf(r rooms.Room) chatroomBody {
	return chatroomBody{r.ID, r.Name, r.CreatedAt, r.CreatedAt}
}

type (
	createChatroom struct {
		Body struct {
			Name string `json:"name" minLength:"1" maxLength:"128" doc:"What people call the chatroom" example:"Reading group"`
		}
	}
	chatroomAnswer  struct{ Body chatroomBody }
	chatroomsAnswer struct {
		Body struct {
			Chatrooms []chatroomBody `json:"chatrooms" nullable:"false" doc:"All rooms"`
			Total     int            `json:"total" doc:"How many rooms there are"`
		}
	}
)

func (s *Server) chatrooms(api huma.API) {
	tags := []string{tagChatrooms}
	huma.Register(api, huma.Operation{
		OperationID: "create-chatroom", Method: http.MethodPost, Path: "/chatrooms", Tags: tags,
		Summary: "Create a chatroom", DefaultStatus: http.StatusCreated,
		Errors: []int{422, 429, 503},
	}, func(ctx context.Context, in *createChatroom) (*chatroomAnswer, error) {
		room, _, err := s.cfg.Service.CreateRoom(ctx, "", in.Body.Name)
		if err != nil {
			return nil, problemOf(err)
		}
		return &chatroomAnswer{chatroomOf(room)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-chatrooms", Method: http.MethodGet, Path: "/chatrooms", Tags: tags, Summary: "All chatrooms", Errors: []int{503},
	}, func(ctx context.Context, _ *struct{}) (*chatroomsAnswer, error) {
		list, err := s.cfg.Service.Rooms(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &chatroomsAnswer{}
		out.Body.Chatrooms = mapped(list, chatroomOf)
		out.Body.Total = len(list)
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-chatroom", Method: http.MethodGet, Path: "/chatrooms/{id}", Tags: tags, Summary: "One chatroom", Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*chatroomAnswer, error) {
		room, err := s.cfg.Service.Room(ctx, in.ID)
		if err != nil {
			return nil, problemOf(err)
		}
		return &chatroomAnswer{chatroomOf(room)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "delete-chatroom", Method: http.MethodDelete, Path: "/chatrooms/{id}", Tags: tags, Summary: "Delete a chatroom",
		Description:   "The same as `DELETE /rooms/{room_id}`: its messages go with it, and its members are told `room_deleted`.",
		DefaultStatus: http.StatusOK, Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*removedAnswer, error) {
		if err := s.cfg.Service.DeleteRoom(ctx, in.ID); err != nil {
			return nil, problemOf(err)
		}
		return removed(), nil
	})
}
