package tracing

import (
	"context"
	"errors"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// tracedStore is a Store whose appends are spans, one for each message. Its other calls are within the span of the
// service call that makes them; their failures are counted.
type tracedStore struct {
	rooms.Store
	t *Telemetry
}

var _ rooms.Store = (*tracedStore)(nil)

// Store wraps next.
func (t *Telemetry) Store(next rooms.Store) rooms.Store { return &tracedStore{next, t} }

func (s *tracedStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if s.t.tracer.off {
		return s.failed(s.Store.Append(ctx, roomID, drafts))
	}
	spans := make([]trace.Span, len(drafts))
	for i, d := range drafts {
		_, spans[i] = s.t.tracer.start(d.Ctx, &opAppend, semconv.MessagingDestinationName(roomID),
			semconv.MessagingMessageID(d.Message.ID), attrBatch.Int(len(drafts)))
	}
	if s.t.sql && len(drafts) > 0 {
		// What is sent for all is part of one trace: that of the first.
		ctx = trace.ContextWithSpan(ctx, spans[0])
		if c := connectionOf(drafts[0].Ctx); c != nil {
			ctx = context.WithValue(ctx, connectionKey{}, c)
		}
	}
	err := s.failed(s.Store.Append(ctx, roomID, drafts))
	for i, span := range spans {
		if err == nil && span.IsRecording() {
			span.SetAttributes(attrSeq.Int64(drafts[i].Message.Seq))
		}
		end(span, err)
	}
	return err
}

func (s *tracedStore) Ping(ctx context.Context) error { return s.failed(s.Store.Ping(ctx)) }

func (s *tracedStore) After(ctx context.Context, roomID string, seq int64, limit int) ([]*rooms.Message, error) {
	list, err := s.Store.After(ctx, roomID, seq, limit)
	return list, s.failed(err)
}

func (s *tracedStore) Newest(ctx context.Context, roomID string, seq int64, limit int) ([]*rooms.Message, error) {
	list, err := s.Store.Newest(ctx, roomID, seq, limit)
	return list, s.failed(err)
}

func (s *tracedStore) Room(ctx context.Context, id string) (rooms.Room, error) {
	room, err := s.Store.Room(ctx, id)
	return room, s.failed(err)
}

// failed counts err if the fault is the store's own.
func (s *tracedStore) failed(err error) error {
	var refusal *rooms.Error
	if err != nil && (!errors.As(err, &refusal) || refusal.Code == rooms.CodeUnavailable) {
		s.t.metrics.storeErrors.Inc()
	}
	return err
}
