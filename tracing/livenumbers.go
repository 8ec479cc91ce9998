package tracing

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// How the numbers beside the live traces are made: from the metrics, over the last seconds.
const (
	ratesEvery    = time.Second      // between two readings
	ratesMessages = 5 * time.Second  // over which messages are counted
	ratesLatency  = 60 * time.Second // over which latencies are
)

// numbers are what a viewer is told of the server as a whole.
type numbers struct {
	Connections int     `json:"connections"`
	Messages    float64 `json:"messages_per_second"`
	// Latencies of deliveries in microseconds, estimated from the histogram; nil: there was none.
	P50 *float64 `json:"p50_micros"`
	P99 *float64 `json:"p99_micros"`
	// The time over which the latencies are, in seconds; 0: all since the start.
	Over int        `json:"latency_seconds"`
	Kept keptCounts `json:"kept"`
}

// reading is the metrics at a time.
type reading struct {
	at       time.Time
	messages float64
	latency  []uint64 // by bucket, not cumulated; the last is what is above all bounds
}

// rates remembers readings of the last minute. They are taken when somebody looks, so that nobody pays for them
// otherwise. mu guards readings.
type rates struct {
	mu       sync.Mutex
	readings []reading
}

// numbers reads the metrics as they are now.
func (l *live) numbers(now time.Time) numbers {
	m := l.metrics
	n := numbers{Kept: l.counts()}
	for _, t := range transports {
		var d dto.Metric
		if m.connections.WithLabelValues(t).Write(&d) == nil {
			n.Connections += int(d.GetGauge().GetValue())
		}
	}
	last := m.read(now)

	l.rates.mu.Lock()
	defer l.rates.mu.Unlock()
	known := l.rates.readings
	for len(known) > 0 && now.Sub(known[0].at) > ratesLatency+ratesEvery {
		known = known[1:]
	}
	for _, r := range known {
		if d := now.Sub(r.at); d <= ratesMessages+ratesEvery && d >= ratesEvery/2 {
			n.Messages = (last.messages - r.messages) / d.Seconds()
			break
		}
	}
	latency := last.latency
	// Who has just begun to look is told of all since the start.
	if len(known) > 0 && now.Sub(known[0].at) >= ratesLatency-ratesEvery {
		latency = make([]uint64, len(last.latency))
		for i := range latency {
			latency[i] = last.latency[i] - known[0].latency[i]
		}
		n.Over = int(ratesLatency.Seconds())
	}
	n.P50, n.P99 = quantile(latency, .5), quantile(latency, .99)
	if len(known) == 0 || now.Sub(known[len(known)-1].at) >= ratesEvery {
		known = append(known, last)
	}
	l.rates.readings = known
	return n
}

func (m *metrics) read(now time.Time) reading {
	r := reading{at: now, latency: make([]uint64, len(latencyBuckets)+1)}
	for _, via := range messageVias {
		var d dto.Metric
		if m.byTransport[via].messages.Write(&d) == nil {
			r.messages += d.GetCounter().GetValue()
		}
	}
	for _, t := range transports {
		var d dto.Metric
		if m.byTransport[t].latency.Observer.(prometheus.Metric).Write(&d) != nil {
			continue
		}
		below := uint64(0)
		for i, b := range d.GetHistogram().GetBucket() {
			r.latency[i] += b.GetCumulativeCount() - below
			below = b.GetCumulativeCount()
		}
		r.latency[len(latencyBuckets)] += d.GetHistogram().GetSampleCount() - below
	}
	return r
}

// quantile estimates the q-quantile, in microseconds, of what was counted into latencyBuckets, taking it for evenly
// spread within a bucket. It returns nil if nothing was counted.
func quantile(counts []uint64, q float64) *float64 {
	total := uint64(0)
	for _, c := range counts {
		total += c
	}
	if total == 0 {
		return nil
	}
	rank := q * float64(total)
	below, low := 0., 0.
	value := latencyBuckets[len(latencyBuckets)-1]
	for i, bound := range latencyBuckets {
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
