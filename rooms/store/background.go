package store

import (
	"context"
	"time"
)

// retryAfter is how long background work waits after a failure.
const retryAfter = 5 * time.Second

// background does work that no caller waits for, step by step, in a goroutine of its own. wake and stop may be called from any
// goroutine, also if the *background is nil.
type background struct {
	due   chan struct{} // receives when there is work; capacity 1
	end   context.CancelFunc
	ended chan struct{} // closed when the goroutine ends
}

// startBackground starts the goroutine. After each wake it waits for delay and calls step, again and again while step reports that
// there may be more work. Errors are handed to failed, and step is called again after retryAfter.
func startBackground(delay time.Duration, step func(context.Context) (more bool, err error), failed func(error)) *background {
	ctx, end := context.WithCancel(context.Background())
	b := &background{due: make(chan struct{}, 1), end: end, ended: make(chan struct{})}
	go b.run(ctx, delay, step, failed)
	return b
}

func (b *background) run(ctx context.Context, delay time.Duration, step func(context.Context) (bool, error), failed func(error)) {
	defer close(b.ended)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	wait := func(d time.Duration) bool {
		timer.Reset(d)
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.due:
		}
		if delay > 0 && !wait(delay) {
			return
		}
		for more := true; more; {
			var err error
			more, err = step(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failed(err)
				if !wait(retryAfter) {
					return
				}
				more = true
			}
		}
	}
}

// wake says that there is work. It does not block.
func (b *background) wake() {
	if b == nil {
		return
	}
	select {
	case b.due <- struct{}{}:
	default:
	}
}

// stop ends the goroutine and waits for it.
func (b *background) stop() {
	if b != nil {
		b.end()
		<-b.ended
	}
}
