package store

import (
	"context"
	"time"
)

// sweepRetry is how long the sweeper rests after a failure.
const sweepRetry = 5 * time.Second

// sweeper removes what deleted rooms left behind, in a goroutine of its own, step by step.
type sweeper struct {
	due   chan struct{} // one token: there is work
	end   context.CancelFunc
	ended chan struct{} // closed by the goroutine
}

// startSweeper starts the goroutine, which stop ends. step does a little and reports whether there may be more.
func startSweeper(step func(context.Context) (bool, error), failed func(error)) *sweeper {
	ctx, end := context.WithCancel(context.Background())
	s := &sweeper{due: make(chan struct{}, 1), end: end, ended: make(chan struct{})}
	go s.run(ctx, step, failed)
	return s
}

func (s *sweeper) run(ctx context.Context, step func(context.Context) (bool, error), failed func(error)) {
	defer close(s.ended)
	retry := time.NewTimer(0) // an earlier process may have left something
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.due:
		case <-retry.C:
		}
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = step(ctx); err != nil && ctx.Err() == nil {
				failed(err)
				more = false
				retry.Reset(sweepRetry)
			}
		}
	}
}

// wake says that there is work.
func (s *sweeper) wake() {
	select {
	case s.due <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and waits for it.
func (s *sweeper) stop() {
	s.end()
	<-s.ended
}
