package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/span"
)

// tracedStore is a Store whose appends are spans, one for each message. Other calls have no span but that of the service call that
// makes them; their failures are counted.
type tracedStore struct {
	rooms.Store
	t      *Telemetry
	system string
}

var _ rooms.Store = (*tracedStore)(nil)

// Store wraps next. system is its db.system.name of the semantic conventions: "sqlite" or "postgresql".
func (t *Telemetry) Store(next rooms.Store, system string) rooms.Store {
	return &tracedStore{next, t, system}
}

func (s *tracedStore) Append(ctx context.Context, roomID string, drafts []rooms.Draft) error {
	if s.t.tracer.Off() {
		return s.failed(s.Store.Append(ctx, roomID, drafts))
	}
	spans := make([]*span.Span, len(drafts))
	now := time.Now()
	var room [3]span.Attr
	attrs := append(room[:0], keyRoom.Of(roomID), keyDatabase.Of(s.system))
	if len(drafts) > 1 { // one alone is no batch, as the semantic conventions have it
		attrs = append(attrs, keyBatch.Int(len(drafts)))
	}
	for i, d := range drafts {
		spans[i] = s.t.tracer.StartAt(d.Ctx, now, opAppend, attrs...)
	}
	if s.t.sql && len(drafts) > 0 {
		// What is sent to the database for all of them is part of one trace, that of the first.
		ctx = trace.ContextWithSpan(ctx, spans[0])
	}
	err := s.failed(s.Store.Append(ctx, roomID, drafts))
	now = time.Now()
	for i, sp := range spans {
		m := drafts[i].Message
		switch {
		case err != nil:
			sp.FinishAt(now, err)
		case drafts[i].Repeated:
			sp.FinishAt(now, nil, keyMessage.Of(m.ID), keySeq.Int64(m.Seq), keyRepeated.Of("true"))
		default:
			sp.FinishAt(now, nil, keyMessage.Of(m.ID), keySeq.Int64(m.Seq))
		}
	}
	return err
}

func (s *tracedStore) Ping(ctx context.Context) error { return s.failed(s.Store.Ping(ctx)) }

func (s *tracedStore) After(ctx context.Context, roomID string, seq int64, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	list, more, err := s.Store.After(ctx, roomID, seq, most)
	return list, more, s.failed(err)
}

func (s *tracedStore) Newest(ctx context.Context, roomID string, seq int64, newest int, most rooms.ReadLimit) ([]*rooms.Message, bool, error) {
	list, more, err := s.Store.Newest(ctx, roomID, seq, newest, most)
	return list, more, s.failed(err)
}

func (s *tracedStore) Room(ctx context.Context, id string) (rooms.Room, error) {
	room, err := s.Store.Room(ctx, id)
	return room, s.failed(err)
}

// failed counts err if it is the store's own fault, and returns it.
func (s *tracedStore) failed(err error) error {
	if err == nil {
		return nil
	}
	if refusal := (*rooms.Error)(nil); !errors.As(err, &refusal) || refusal.Code == rooms.CodeUnavailable {
		s.t.metrics.storeErrors.Inc()
	}
	return err
}
