package workers_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/traceroom/traceroom/web/workers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bell notes when it rings.
type bell struct {
	workers.Alarm
	start time.Time
	rang  []time.Duration
}

func (b *bell) Ring(workers.Moment) { b.rang = append(b.rang, time.Since(b.start)) }

func newBell() *bell {
	b := &bell{start: time.Now()}
	b.Owner = b
	return b
}

func TestAlarmsRingOnceAtTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := workers.NewPool(0, time.Millisecond)
		defer p.Close()
		var bells []*bell
		for i := range 100 {
			b := newBell()
			p.Set(&b.Alarm, p.In(time.Duration(1+i*37%100)*time.Second))
			bells = append(bells, b)
		}
		cancelled, earlier, later := bells[10], bells[20], bells[30]
		p.Set(&cancelled.Alarm, 0)
		p.Set(&cancelled.Alarm, 0)
		p.Set(&earlier.Alarm, p.In(500*time.Millisecond))
		p.Set(&later.Alarm, p.At(time.Now().Add(2*time.Hour)))
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for i, b := range bells {
			switch b {
			case cancelled:
				require.Empty(t, b.rang)
			case earlier:
				require.Equal(t, []time.Duration{500 * time.Millisecond}, b.rang)
			case later:
				require.Equal(t, []time.Duration{2 * time.Hour}, b.rang)
			default:
				require.Equal(t, []time.Duration{time.Duration(1+i*37%100) * time.Second}, b.rang)
			}
		}
		p.Set(&cancelled.Alarm, p.In(time.Second))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, cancelled.rang, 1)
	})
}

func TestAlarmsWithinAGrainRingTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := workers.NewPool(0, time.Second)
		defer p.Close()
		first, second := newBell(), newBell()
		p.Set(&first.Alarm, p.In(2*time.Second))
		p.Set(&second.Alarm, p.In(2*time.Second+1))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []time.Duration{2 * time.Second}, first.rang)
		require.Equal(t, []time.Duration{3 * time.Second}, second.rang)
	})
}

func TestTheEarliestMomentIsNotNever(t *testing.T) {
	require.Zero(t, workers.Earliest())
	require.Zero(t, workers.Earliest(0, 0))
	require.EqualValues(t, 3, workers.Earliest(0, 5, 3, 0, 4))
}

// counting is a task of so many parts.
type counting struct {
	left  int
	ended *atomic.Int32
}

func (c *counting) Run(scratch *[]byte) bool {
	*scratch = append((*scratch)[:0], make([]byte, 100_000)...)
	if c.left--; c.left > 0 {
		return true
	}
	c.ended.Add(1)
	return false
}

func TestTasksRunToTheirEndBeforeThePoolIsClosed(t *testing.T) {
	p := workers.NewPool(3, time.Second)
	var ended atomic.Int32
	const tasks = 500
	for i := range tasks {
		p.Add(&counting{1 + i%7, &ended})
	}
	p.Go(func() { time.Sleep(time.Millisecond); ended.Add(1) })
	p.Close()
	require.EqualValues(t, tasks+1, ended.Load())
}
