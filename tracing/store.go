package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/traceroom/traceroom/rooms"
)

// tracedStore is a Store whose appends are spans, one for each message. Its other calls are within the span of the
// service call that makes them; their failures are counted.
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
	if s.t.tracer.off {
		return s.failed(s.Store.Append(ctx, roomID, drafts))
	}
	spans := make([]*span, len(drafts))
	now := time.Now()
	var room [3]attr
	attrs := append(room[:0], keyRoom.text(roomID), keyDatabase.text(s.system))
	if len(drafts) > 1 { // as the semantic conventions have it: one alone is no batch
		attrs = append(attrs, keyBatch.int(len(drafts)))
	}
	for i, d := range drafts {
		spans[i] = s.t.tracer.startAt(d.Ctx, now, &opAppend, attrs...)
	}
	if s.t.sql && len(drafts) > 0 {
		// What is sent for all is part of one trace: that of the first.
		ctx = trace.ContextWithSpan(ctx, spans[0])
	}
	err := s.failed(s.Store.Append(ctx, roomID, drafts))
	now = time.Now()
	for i, span := range spans {
		m := drafts[i].Message
		switch {
		case err != nil:
			span.endAt(now, err)
		case drafts[i].Repeated:
			span.endAt(now, nil, keyMessage.text(m.ID), keySeq.int64(m.Seq), keyRepeated.text("true"))
		default:
			span.endAt(now, nil, keyMessage.text(m.ID), keySeq.int64(m.Seq))
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

// failed counts err if the fault is the store's own.
func (s *tracedStore) failed(err error) error {
	if err == nil {
		return nil
	}
	if refusal := (*rooms.Error)(nil); !errors.As(err, &refusal) || refusal.Code == rooms.CodeUnavailable {
		s.t.metrics.storeErrors.Inc()
	}
	return err
}
