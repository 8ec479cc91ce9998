package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// postedBody is a message in answers of the message API, and in Socket.IO's new_message.
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
)

// postFields are the names in POST /messages of the fields that package rooms calls otherwise.
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
