package web

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

type roomPath struct {
	RoomID string `path:"room_id" doc:"The room" example:"general"`
}

type roomAnswer struct {
	Status int
	Body   roomBody
}

type roomsAnswer struct {
	Body struct {
		Rooms []roomBody `json:"rooms" nullable:"false" doc:"All rooms, the oldest first"`
		Count int        `json:"count" example:"1" doc:"How many rooms there are"`
	}
}

type createRoom struct {
	RoomID string `query:"room_id" doc:"The room's id; required here or in the body" example:"test"`
	Name   string `query:"name" doc:"What people call it; the id unless given" example:"Test Room"`
	Body   *struct {
		RoomID string `json:"room_id,omitempty" doc:"The room's id" example:"test"`
		Name   string `json:"name,omitempty" doc:"What people call it; the id unless given" example:"Test Room"`
	}
}

type messagesQuery struct {
	RoomID string          `path:"room_id" doc:"The room" example:"general"`
	Since  optional[int64] `query:"since" minimum:"0" doc:"Only messages after this sequence number" example:"41"`
	Epoch  string          `query:"epoch" doc:"The room's epoch when it was: if it is another now, or since is beyond the newest message, the newest messages are answered, with reset" example:"3f9a2b41.0.1"`
	Limit  int             `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many messages at the most"`
}

type messagesAnswer struct {
	Body struct {
		RoomID   string        `json:"room_id" doc:"The room" example:"general"`
		Messages []messageBody `json:"messages" nullable:"false" doc:"Oldest first"`
		Epoch    string        `json:"epoch" doc:"What the sequence numbers go by: it changes when the room is deleted and made anew, or a power failure may have taken its newest messages" example:"3f9a2b41.0.1"`
		Reset    bool          `json:"reset,omitempty" doc:"These are the newest messages, as since is of another epoch. Absent if not"`
	}
}

// messageBody is a message in the form of the WebSocket contract.
type messageBody struct {
	ClientID    string `json:"client_id" doc:"Who said it" example:"user123"`
	Text        string `json:"text" doc:"What was said" example:"Hello!"`
	RoomID      string `json:"room_id" doc:"The room" example:"general"`
	Timestamp   int64  `json:"timestamp" doc:"When it was stored, in Unix milliseconds" example:"1635789012345"`
	Seq         int64  `json:"seq" doc:"The message's place in the room, from 1" example:"42"`
	ID          string `json:"id" doc:"Names the message" example:"017cdc9f-7d79-7c3a-8d15-e60f2b94cc33"`
	IsReply     bool   `json:"is_reply,omitempty" doc:"It answers another message. Absent if not"`
	ParentID    string `json:"parent_message_id,omitempty" doc:"The message that it answers"`
	TraceParent string `json:"traceparent,omitempty" doc:"W3C trace context of the message" example:"00-4bf92f3577b34da6a3ce929d0e0e4736-b9c7c989f97918e1-01"`
}

type deletedAnswer struct {
	Body struct {
		Message string `json:"message" doc:"That it is done" example:"Room deleted successfully"`
	}
}

func (s *Server) rooms(api huma.API) {
	tags := []string{tagRooms}
	huma.Register(api, huma.Operation{
		OperationID: "list-rooms", Method: http.MethodGet, Path: "/rooms", Tags: tags, Summary: "All rooms", Errors: []int{503},
	}, func(ctx context.Context, _ *struct{}) (*roomsAnswer, error) {
		list, err := s.cfg.Service.Rooms(ctx)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &roomsAnswer{}
		out.Body.Rooms = mapped(list, roomOf)
		out.Body.Count = len(list)
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "create-room", Method: http.MethodPost, Path: "/rooms", Tags: tags, Summary: "Create a room",
		Description:   "The fields may come in the query or as a JSON body. A room that exists is answered as it is, with 200.",
		DefaultStatus: http.StatusCreated, Errors: []int{422, 429, 503},
	}, func(ctx context.Context, in *createRoom) (*roomAnswer, error) {
		id, name := in.RoomID, in.Name
		if in.Body != nil {
			if id == "" {
				id = in.Body.RoomID
			}
			if name == "" {
				name = in.Body.Name
			}
		}
		if id == "" {
			return nil, problemOf(rooms.CheckID("room_id", id))
		}
		// These may be parts of the request's query, which the room would otherwise keep in memory.
		room, created, err := s.cfg.Service.CreateRoom(ctx, strings.Clone(id), strings.Clone(name))
		if err != nil {
			return nil, problemOf(err)
		}
		status := http.StatusOK
		if created {
			status = http.StatusCreated
		}
		return &roomAnswer{status, roomOf(room)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-room", Method: http.MethodGet, Path: "/rooms/{room_id}", Tags: tags, Summary: "One room", Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *roomPath) (*roomAnswer, error) {
		room, err := s.cfg.Service.Room(ctx, in.RoomID)
		if err != nil {
			return nil, problemOf(err)
		}
		return &roomAnswer{http.StatusOK, roomOf(room)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-room-messages", Method: http.MethodGet, Path: "/rooms/{room_id}/messages", Tags: tags,
		Summary: "A room's messages", Description: "Those after `since`, or else the newest; oldest first.",
		Responses: answersLike[messagesAnswer](api), Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *messagesQuery) (*huma.StreamResponse, error) {
		return messageList{
			room: in.RoomID, query: rooms.Query{Since: in.Since.pointer(), Epoch: in.Epoch, Limit: in.Limit},
			head: `{"room_id":"` + in.RoomID + `"`,
			body: func(m *rooms.Message) any {
				return messageBody{m.ClientID, m.Text, m.RoomID, m.CreatedAt.UnixMilli(), m.Seq, m.ID, m.IsReply, m.ParentID, m.Trace.Parent}
			},
		}.answer(ctx, s.cfg.Service)
	})
	huma.Register(api, huma.Operation{
		OperationID: "delete-room", Method: http.MethodDelete, Path: "/rooms/{room_id}", Tags: tags, Summary: "Delete a room",
		Description: "Its messages go with it. Its members are told `room_deleted`; WebSocket connections are closed with 4001.", DefaultStatus: http.StatusOK,
		Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *roomPath) (*deletedAnswer, error) {
		if err := s.cfg.Service.DeleteRoom(ctx, in.RoomID); err != nil {
			return nil, problemOf(err)
		}
		out := &deletedAnswer{}
		out.Body.Message = "Room deleted successfully"
		return out, nil
	})
}

// logFault logs an error that is the server's own fault, with the id of its trace.
func (s *Server) logFault(ctx context.Context, doing string, err error) {
	if e := rooms.AsError(err); e.Code == rooms.CodeUnavailable {
		s.cfg.Log.Error(doing, zap.Error(err), zap.String("trace_id", span.TraceID(ctx)))
	}
}
