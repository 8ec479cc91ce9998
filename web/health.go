package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traceroom/traceroom/rooms"
)

// healthTimeout bounds how long the store may take to say that it is well.
const healthTimeout = 2 * time.Second

type healthBody struct {
	Status    string `json:"status" enum:"healthy,unhealthy"`
	Service   string `json:"service"`
	Timestamp int64  `json:"timestamp" doc:"Unix milliseconds"`
	Failing   string `json:"failing,omitempty" doc:"The part that does not work"`
}

type healthAnswer struct {
	Status int
	Body   healthBody
}

type readyBody struct {
	Status string `json:"status" enum:"ready,starting,draining"`
}

type readyAnswer struct {
	Status int
	Body   readyBody
}

func (s *Server) health(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/health", Tags: []string{"Operations"},
		Summary: "Whether the server works", Description: "503 with the failing part when the store is down.",
	}, func(ctx context.Context, _ *struct{}) (*healthAnswer, error) {
		ctx, cancel := context.WithTimeout(ctx, healthTimeout)
		defer cancel()
		out := &healthAnswer{http.StatusOK, healthBody{"healthy", "traceroom", time.Now().UnixMilli(), ""}}
		if err := s.cfg.Service.Ping(ctx); err != nil {
			out.Status, out.Body.Status, out.Body.Failing = http.StatusServiceUnavailable, "unhealthy", "store"
			s.logFault(ctx, "health check", err)
		}
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"Operations"},
		Summary: "Whether the server takes connections", Description: "503 while starting or draining.",
	}, func(context.Context, *struct{}) (*readyAnswer, error) {
		switch {
		case s.draining.Load():
			return &readyAnswer{http.StatusServiceUnavailable, readyBody{"draining"}}, nil
		case !s.ready.Load():
			return &readyAnswer{http.StatusServiceUnavailable, readyBody{"starting"}}, nil
		}
		return &readyAnswer{http.StatusOK, readyBody{"ready"}}, nil
	})
}

// roomBody is a room as clients are told it.
type roomBody struct {
	RoomID       string `json:"room_id" example:"general"`
	Name         string `json:"name" example:"General"`
	Participants int    `json:"participant_count" doc:"Clients in the room"`
	Messages     int    `json:"message_count"`
	CreatedAt    int64  `json:"created_at" doc:"Unix milliseconds"`
}

func roomOf(r rooms.Room) roomBody {
	return roomBody{r.ID, r.Name, r.Participants, r.Messages, r.CreatedAt.UnixMilli()}
}
