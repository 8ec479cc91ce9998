package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
)

type healthBody struct {
	Status    string `json:"status" enum:"healthy,unhealthy" doc:"Whether the server works"`
	Service   string `json:"service" doc:"Which server this is" example:"traceroom"`
	Timestamp int64  `json:"timestamp" doc:"Now, in Unix milliseconds" example:"1635789012345"`
	Failing   string `json:"failing,omitempty" doc:"The part that does not work"`
}

type healthAnswer struct {
	Status int
	Body   healthBody
}

type readyBody struct {
	Status  string `json:"status" enum:"ready,starting,draining,unavailable" doc:"Whether the server takes connections"`
	Failing string `json:"failing,omitempty" doc:"The part that does not work"`
}

type readyAnswer struct {
	Status int
	Body   readyBody
}

func (s *Server) health(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/health", Tags: []string{tagOperations},
		Summary: "Whether the server works", Description: "503 with the failing part when the store is down.",
	}, func(ctx context.Context, _ *struct{}) (*healthAnswer, error) {
		out := &healthAnswer{http.StatusOK, healthBody{"healthy", "traceroom", time.Now().UnixMilli(), ""}}
		if err := s.store.ask(ctx, 0, healthTimeout); err != nil {
			out.Status, out.Body.Status, out.Body.Failing = http.StatusServiceUnavailable, "unhealthy", "store"
			s.logFault(ctx, "health check", err)
		}
		return out, nil
	})
	huma.Register(api, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagOperations},
		Summary: "Whether it is ready",
		Description: "503 while starting or draining, and with the failing part while the store cannot be used. The store is asked " +
			"every two seconds at the most, and the answer comes within one.",
	}, func(ctx context.Context, _ *struct{}) (*readyAnswer, error) {
		switch {
		case s.draining.Load():
			return &readyAnswer{http.StatusServiceUnavailable, readyBody{"draining", ""}}, nil
		case !s.ready.Load():
			return &readyAnswer{http.StatusServiceUnavailable, readyBody{"starting", ""}}, nil
		}
		err := s.store.ask(ctx, readyAge, readyTimeout)
		if ctx.Err() == nil && s.store.changed(err != nil) {
			if err != nil {
				s.cfg.Log.Error("not ready: the store cannot be used", zap.Error(err))
			} else {
				s.cfg.Log.Info("ready: the store can be used again")
			}
		}
		out := &readyAnswer{http.StatusOK, readyBody{"ready", ""}}
		if err != nil {
			out = &readyAnswer{http.StatusServiceUnavailable, readyBody{"unavailable", "store"}}
		}
		return out, nil
	})
}

// roomBody is a room as clients see it.
type roomBody struct {
	RoomID       string `json:"room_id" doc:"The room's id" example:"general"`
	Name         string `json:"name" doc:"What people call it" example:"General"`
	Participants int    `json:"participant_count" doc:"Clients in the room" example:"5"`
	Messages     int    `json:"message_count" doc:"Messages in the room, without deleted ones" example:"42"`
	CreatedAt    int64  `json:"created_at" doc:"When it was created, in Unix milliseconds" example:"1635702612345"`
	Epoch        string `json:"epoch" doc:"What its sequence numbers go by" example:"3f9a2b41.0.1"`
}

func roomOf(r rooms.Room) roomBody {
	return roomBody{r.ID, r.Name, r.Participants, r.Messages, r.CreatedAt.UnixMilli(), r.Epoch}
}
