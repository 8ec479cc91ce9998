package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// userBody is a user as clients see it.
type userBody struct {
	ID      string    `json:"id" doc:"The user's id, for user_id in messages" example:"017ccd2c-6979-72f1-9c4e-5d7a1b30aa11"`
	Name    string    `json:"name" doc:"What people call the user" example:"Ada Lovelace"`
	Handle  string    `json:"handle" doc:"A name that nobody else has" example:"ada"`
	Created time.Time `json:"created_date" doc:"When the user was registered" example:"2021-10-29T17:50:12.345Z"`
	Updated time.Time `json:"last_updated_date" doc:"When the user was last changed" example:"2021-10-29T17:50:12.345Z"`
}

func userOf(u rooms.User) userBody { return userBody{u.ID, u.Name, u.Handle, u.CreatedAt, u.UpdatedAt} }

// chatroomBody is a room in the words of the message API: the same room, with the same id, as in GET /rooms.
type chatroomBody struct {
	ID      string    `json:"id" doc:"The room's id" example:"017cd252-c579-78b6-a1f2-0c9d3e47bb22"`
	Name    string    `json:"name" doc:"What people call it" example:"Reading group"`
	Created time.Time `json:"created_date" doc:"When it was created" example:"2021-10-30T17:50:12.345Z"`
	Updated time.Time `json:"last_updated_date" doc:"When it was last changed" example:"2021-10-30T17:50:12.345Z"`
}

func chatroomOf(r rooms.Room) chatroomBody {
	return chatroomBody{r.ID, r.Name, r.CreatedAt, r.CreatedAt}
}

// postedBody is a message in the words of the message API and of Socket.IO's new_message.
type postedBody struct {
	ID       string    `json:"id" doc:"Names the message" example:"017cdc9f-7d79-7c3a-8d15-e60f2b94cc33"`
	Text     string    `json:"message_text" doc:"What was said" example:"Hello!"`
	UserID   string    `json:"user_id" doc:"Who said it: a user's id, or the client's id where it was said over WebSocket" example:"017ccd2c-6979-72f1-9c4e-5d7a1b30aa11"`
	Chatroom string    `json:"chatroom_id" doc:"The room" example:"general"`
	IsReply  bool      `json:"is_reply" doc:"Whether it answers another message"`
	ParentID *string   `json:"parent_message_id" nullable:"true" doc:"The message that it answers"`
	Created  time.Time `json:"created_date" doc:"When it was stored" example:"2021-11-01T17:50:12.345Z"`
	Updated  time.Time `json:"last_updated_date" doc:"When it was last changed" example:"2021-11-01T17:50:12.345Z"`
}

func postedOf(m *rooms.Message) postedBody {
	b := postedBody{ID: m.ID, Text: m.Text, UserID: m.ClientID, Chatroom: m.RoomID, IsReply: m.IsReply, Created: m.CreatedAt, Updated: m.UpdatedAt}
	if m.ParentID != "" {
		b.ParentID = &m.ParentID
	}
	return b
}

type (
	idPath struct {
		ID string `path:"id"`
	}
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
	postMessage struct {
		Key  string `header:"Idempotency-Key" doc:"Names the message among those of its user: for ten minutes, the same key in the same chatroom is answered with the message that was stored first, and nothing else is stored. 1 to 64 characters" example:"7c9e6679-7425-40de-944b-e07fc1f90ae7"`
		Body struct {
			Text     string  `json:"message_text" minLength:"1" maxLength:"4096" doc:"What is said. Not all of it may be blank" example:"Hello!"`
			UserID   string  `json:"user_id" minLength:"1" maxLength:"64" doc:"A registered user" example:"017ccd2c-6979-72f1-9c4e-5d7a1b30aa11"`
			Chatroom string  `json:"chatroom_id" minLength:"1" maxLength:"64" doc:"The room, which exists" example:"general"`
			IsReply  bool    `json:"is_reply,omitempty" doc:"Whether it answers another message"`
			ParentID *string `json:"parent_message_id,omitempty" nullable:"true" doc:"The message that this one answers"`
		}
	}
	postedAnswer struct{ Body postedBody }
	posted       struct {
		Chatroom string          `path:"chatroom_id" doc:"The room" example:"general"`
		Since    optional[int64] `query:"since" minimum:"0" doc:"Only messages after this sequence number" example:"41"`
		Epoch    string          `query:"epoch" doc:"The room's epoch when it was: if it is another now, or since is beyond the newest message, the newest messages are answered, with reset" example:"3f9a2b41.0.1"`
		Limit    int             `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many messages at the most"`
	}
	postedListAnswer struct {
		Body struct {
			Messages []postedBody `json:"messages" nullable:"false" doc:"Oldest first"`
			Total    int          `json:"total" doc:"Messages in the chatroom, of which these may be a part"`
			Epoch    string       `json:"epoch" doc:"What the sequence numbers go by: it changes when the room is deleted and made anew, or a power failure may have taken its newest messages" example:"3f9a2b41.0.1"`
			Reset    bool         `json:"reset,omitempty" doc:"These are the newest messages, as since is of another epoch. Absent if not"`
		}
	}
	// removedAnswer is what the message API answers when something has been deleted.
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

// postFields maps the rooms' names of a post's fields to those in POST /messages, where they differ.
var postFields = map[string]string{"text": "message_text", "room_id": "chatroom_id", "ref": "Idempotency-Key"}

func (s *Server) messages(api huma.API) {
	tags := []string{tagMessages}
	huma.Register(api, huma.Operation{
		OperationID: "post-message", Method: http.MethodPost, Path: "/messages", Tags: tags,
		Summary: "Post a message", DefaultStatus: http.StatusCreated,
		Description: "The message is stored, then sent to the room's members: to Socket.IO clients as `new_message`. " +
			"An unknown user, chatroom or parent is answered with 404. After a 503, or no answer, send it again with the same " +
			"`Idempotency-Key`: it is stored once.",
		Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *postMessage) (*postedAnswer, error) {
		post := rooms.Post{
			RoomID: in.Body.Chatroom, ClientID: in.Body.UserID, Text: in.Body.Text, IsReply: in.Body.IsReply,
			Ref: in.Key, Transport: "http", Received: time.Now(),
		}
		if in.Body.ParentID != nil {
			post.ParentID = *in.Body.ParentID
		}
		m, _, err := s.cfg.Service.PostMessage(ctx, post)
		if err != nil {
			return nil, problemOf(renamed(err, postFields))
		}
		return &postedAnswer{postedOf(m)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "get-message", Method: http.MethodGet, Path: "/messages/{id}", Tags: tags, Summary: "One message", Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*postedAnswer, error) {
		m, err := s.cfg.Service.Message(ctx, in.ID)
		if err != nil {
			return nil, problemOf(err)
		}
		return &postedAnswer{postedOf(m)}, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "delete-message", Method: http.MethodDelete, Path: "/messages/{id}", Tags: tags, Summary: "Delete a message",
		Description: "It keeps its place in the room's sequence.", DefaultStatus: http.StatusOK,
		Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *idPath) (*removedAnswer, error) {
		if err := s.cfg.Service.DeleteMessage(ctx, in.ID); err != nil {
			return nil, problemOf(err)
		}
		return removed(), nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "list-chatroom-messages", Method: http.MethodGet, Path: "/messages/chatroom/{chatroom_id}", Tags: tags,
		Summary: "A chatroom's messages", Description: "Those after `since`, or else the newest; oldest first.",
		Responses: answersLike[postedListAnswer](api), Errors: []int{404, 422, 503},
	}, func(ctx context.Context, in *posted) (*huma.StreamResponse, error) {
		room, err := s.cfg.Service.Room(ctx, in.Chatroom)
		if err != nil {
			return nil, problemOf(err)
		}
		return messageList{
			room: in.Chatroom, query: rooms.Query{Since: in.Since.pointer(), Epoch: in.Epoch, Limit: in.Limit},
			head: `{"total":` + strconv.Itoa(room.Messages),
			body: func(m *rooms.Message) any { return postedOf(m) },
		}.answer(ctx, s.cfg.Service)
	})
}

// mapped returns f of every element. It is never nil, so that it is a list in JSON.
func mapped[T, U any](list []T, f func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}
