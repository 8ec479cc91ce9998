package web

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing"
)

type roomPath struct {
	RoomID string `path:"room_id" doc:"1 to 64 of A-Z a-z 0-9 _ . -" example:"general"`
}

type roomAnswer struct {
	Status int
	Body   roomBody
}

type roomsAnswer struct {
	Body struct {
		Rooms []roomBody `json:"rooms"`
		Count int        `json:"count"`
	}
}

type createRoom struct {
	RoomID string `query:"room_id" doc:"1 to 64 of A-Z a-z 0-9 _ . -"`
	Name   string `query:"name" doc:"What people call it; the id unless given"`
	Body   *struct {
		RoomID string `json:"room_id,omitempty" doc:"1 to 64 of A-Z a-z 0-9 _ . -"`
		Name   string `json:"name,omitempty" doc:"What people call it; the id unless given"`
	}
}

type messagesQuery struct {
	RoomID string          `path:"room_id" doc:"The room" example:"general"`
	Since  optional[int64] `query:"since" minimum:"0" doc:"Only messages after this sequence number, oldest first"`
	Limit  int             `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// optional is a parameter that may be absent, as huma's documentation makes them.
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

func (o *optional[T]) pointer() *T {
	if !o.set {
		return nil
	}
	return &o.value
}

type messagesAnswer struct {
	Body struct {
		RoomID   string        `json:"room_id"`
		Messages []messageBody `json:"messages"`
	}
}

// messageBody is a message as the WebSocket contract has it.
type messageBody struct {
	ClientID    string `json:"client_id"`
	Text        string `json:"text"`
	RoomID      string `json:"room_id"`
	Timestamp   int64  `json:"timestamp" doc:"Unix milliseconds"`
	Seq         int64  `json:"seq" doc:"The message's place in the room, from 1"`
	ID          string `json:"id"`
	IsReply     bool   `json:"is_reply,omitempty"`
	ParentID    string `json:"parent_message_id,omitempty"`
	TraceParent string `json:"traceparent,omitempty" doc:"W3C trace context of the message"`
}

type deletedAnswer struct {
	Body struct {
		Message string `json:"message"`
	}
}

func (s *Server) rooms(api huma.API) {
	tags := []string{"Rooms"}
	huma.Register(api, huma.Operation{
		OperationID: "list-rooms", Method: http.MethodGet, Path: "/rooms", Tags: tags, Summary: "All rooms",
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
		DefaultStatus: http.StatusCreated,
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
		room, created, err := s.cfg.Service.CreateRoom(ctx, id, name)
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
		OperationID: "get-room", Method: http.MethodGet, Path: "/rooms/{room_id}", Tags: tags, Summary: "One room",
	}, func(ctx context.Context, in *roomPath) (*roomAnswer, error) {
		room, err := s.cfg.Service.Room(ctx, in.RoomID)
		if err != nil {
			return nil, problemOf(err)
		}
		return &roomAnswer{http.StatusOK, roomOf(room)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-room-messages", Method: http.MethodGet, Path: "/rooms/{room_id}/messages", Tags: tags,
		Summary: "A room's messages", Description: "Those after since, or else the newest; oldest first.",
	}, func(ctx context.Context, in *messagesQuery) (*messagesAnswer, error) {
		list, err := s.cfg.Service.Messages(ctx, in.RoomID, in.Since.pointer(), in.Limit)
		if err != nil {
			return nil, problemOf(err)
		}
		out := &messagesAnswer{}
		out.Body.RoomID = in.RoomID
		out.Body.Messages = mapped(list, func(m *rooms.Message) messageBody {
			return messageBody{m.ClientID, m.Text, m.RoomID, m.CreatedAt.UnixMilli(), m.Seq, m.ID, m.IsReply, m.ParentID, m.Trace.Parent}
		})
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "delete-room", Method: http.MethodDelete, Path: "/rooms/{room_id}", Tags: tags, Summary: "Delete a room and its messages",
		Description: "Its members are told room_deleted; WebSocket connections are closed with 4001.", DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *roomPath) (*deletedAnswer, error) {
		if err := s.cfg.Service.DeleteRoom(ctx, in.RoomID); err != nil {
			return nil, problemOf(err)
		}
		out := &deletedAnswer{}
		out.Body.Message = "Room deleted successfully"
		return out, nil
	})
}

// logFault logs what was the server's own fault, with its trace.
func (s *Server) logFault(ctx context.Context, doing string, err error) {
	if e := rooms.AsError(err); e.Code == rooms.CodeUnavailable {
		s.cfg.Log.Error(doing, zap.Error(err), zap.String("trace_id", tracing.TraceID(ctx)))
	}
}
