package stats

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram counts durations in buckets that are at most 1 % wide. The zero value is ready. One goroutine may use it at a
// time.
type Histogram struct {
	counts *hdrhistogram.Histogram // nil while empty
	max    time.Duration
}

// Add counts d; a negative d counts as 0.
func (h *Histogram) Add(d time.Duration) {
	if h.counts == nil {
		h.counts = hdrhistogram.New(1, math.MaxInt64, 2)
	}
	d = max(d, 0)
	_ = h.counts.RecordValue(int64(d)) // fails only for values outside the range that New was given
	h.max = max(h.max, d)
}

// Count returns how many durations were added.
func (h *Histogram) Count() uint64 {
	if h.counts == nil {
		return 0
	}
	return uint64(h.counts.TotalCount())
}

// Max returns the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the upper end of the bucket in which quantile q (0 to 1) lies, at most Max. It returns 0 if h is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.counts == nil {
		return 0
	}
	return min(time.Duration(h.counts.ValueAtQuantile(100*q)), h.max)
}
