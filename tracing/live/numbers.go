package live

import (
	"math"
	"sync"
	"time"
)

// The times over which numbers are made.
const (
	ratesEvery    = time.Second      // between two readings
	ratesMessages = 5 * time.Second  // over which messages are counted
	ratesLatency  = 60 * time.Second // over which latencies are
)

// Reading is what a program has counted up to now.
type Reading struct {
	Connections int      // open now
	Messages    float64  // since the start
	Latency     []uint64 // deliveries since the start, by bucket, not cumulated; the last is those above all bounds
}

// Numbers is what a viewer is told of the program as a whole.
type Numbers struct {
	Connections int
	Messages    float64 // a second
	// P50 and P99 are quantiles of deliveries' latencies in microseconds, estimated from the buckets; nil: there were none.
	P50, P99 *float64
	Over     time.Duration // over which the latencies are; 0: all since the start
	Kept     Counts
}

// rates remembers readings of the last minute. They are taken when somebody looks, and otherwise cost nothing. mu guards readings.
type rates struct {
	mu       sync.Mutex
	readings []datedReading
}

type datedReading struct {
	Reading
	at time.Time
}

// Numbers returns the numbers at the time now.
func (s *Store) Numbers(now time.Time) Numbers {
	last := datedReading{s.config.Read(), now}
	n := Numbers{Connections: last.Connections, Kept: s.Counts()}

	s.rates.mu.Lock()
	defer s.rates.mu.Unlock()
	known := s.rates.readings
	for len(known) > 0 && now.Sub(known[0].at) > ratesLatency+ratesEvery {
		known = known[1:]
	}
	for _, r := range known {
		if d := now.Sub(r.at); d <= ratesMessages+ratesEvery && d >= ratesEvery/2 {
			n.Messages = (last.Messages - r.Messages) / d.Seconds()
			break
		}
	}
	latency := last.Latency
	// Whoever has just begun to look is told of all since the start.
	if len(known) > 0 && now.Sub(known[0].at) >= ratesLatency-ratesEvery {
		latency = make([]uint64, len(last.Latency))
		for i := range latency {
			latency[i] = last.Latency[i] - known[0].Latency[i]
		}
		n.Over = ratesLatency
	}
	n.P50, n.P99 = quantile(s.config.Latencies, latency, .5), quantile(s.config.Latencies, latency, .99)
	if len(known) == 0 || now.Sub(known[len(known)-1].at) >= ratesEvery {
		known = append(known, last)
	}
	s.rates.readings = known
	return n
}

// quantile estimates the q-quantile, in microseconds, of what was counted into buckets with these upper bounds in seconds. It assumes
// that values are spread evenly within a bucket. It returns nil if nothing was counted.
func quantile(bounds []float64, counts []uint64, q float64) *float64 {
	total := uint64(0)
	for _, c := range counts {
		total += c
	}
	if total == 0 {
		return nil
	}
	rank := q * float64(total)
	below, low := 0., 0.
	value := bounds[len(bounds)-1]
	for i, bound := range bounds {
		c := float64(counts[i])
		if c > 0 && below+c >= rank {
			value = low + (bound-low)*(rank-below)/c
			break
		}
		below += c
		low = bound
	}
	micros := math.Round(value*1e7) / 10
	return &micros
}
