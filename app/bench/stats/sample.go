package stats

import (
	"math"
	"slices"
)

// Median returns the middle value of v, or the mean of the two middle ones; NaN if v is empty. It does not change v.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	mid := len(s) / 2
	if len(s)%2 == 1 {
		return s[mid]
	}
	return (s[mid-1] + s[mid]) / 2
}

// Quantile returns the smallest value of v such that at least a share q (0 to 1) of the values is not above it; NaN if v is empty.
func Quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return s[rank(q, len(s))-1]
}

// Ratios divides the elements of a by those of b, up to the length of the shorter one. Values that were measured one after the
// other were disturbed alike, so the median of their ratios varies less than the ratio of their medians.
func Ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}

// Slope returns the least-squares slope of y over x, in units of y per unit of x; 0 for fewer than two points.
func Slope(x, y []float64) float64 {
	n := float64(min(len(x), len(y)))
	if n < 2 {
		return 0
	}
	var sx, sy, sxx, sxy float64
	for i := range int(n) {
		sx += x[i]
		sy += y[i]
		sxx += x[i] * x[i]
		sxy += x[i] * y[i]
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0
	}
	return (n*sxy - sx*sy) / d
}

// rank returns the 1-based index of quantile q among n ordered values.
func rank(q float64, n int) int {
	return min(max(int(math.Ceil(q*float64(n))), 1), n)
}
