package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/bench/stats"
)

func TestMedianAndQuantile(t *testing.T) {
	v := []float64{5, 1, 4, 2, 3}
	require.Equal(t, 3.0, stats.Median(v))
	require.Equal(t, []float64{5, 1, 4, 2, 3}, v, "the values were sorted in place")
	require.Equal(t, 2.5, stats.Median([]float64{4, 1, 3, 2}))
	require.True(t, math.IsNaN(stats.Median(nil)))

	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	require.Equal(t, 1.0, stats.Quantile(hundred, 0))
	require.Equal(t, 50.0, stats.Quantile(hundred, 0.5))
	require.Equal(t, 99.0, stats.Quantile(hundred, 0.99))
	require.Equal(t, 100.0, stats.Quantile(hundred, 1))
	require.True(t, math.IsNaN(stats.Quantile(nil, 0.5)))
}

func TestRatiosArePairwise(t *testing.T) {
	require.Equal(t, []float64{2, 0.5}, stats.Ratios([]float64{4, 1, 9}, []float64{2, 2}))
}

func TestSlope(t *testing.T) {
	require.InDelta(t, 2.0, stats.Slope([]float64{0, 1, 2, 3}, []float64{7, 9, 11, 13}), 1e-9)
	require.InDelta(t, 0.0, stats.Slope([]float64{0, 1, 2, 3}, []float64{4, 4, 4, 4}), 1e-9)
	require.Zero(t, stats.Slope([]float64{1}, []float64{5}))
	require.Zero(t, stats.Slope([]float64{1, 1}, []float64{5, 6}), "all at the same moment")
}

func TestHistogramAgreesWithTheSortedValues(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var h stats.Histogram
	require.Zero(t, h.Quantile(0.99))
	all := make([]time.Duration, 50_000)
	for i := range all {
		all[i] = time.Duration(math.Exp(rnd.Float64() * 25)) // from 1 ns to over a minute
		h.Add(all[i])
	}
	slices.Sort(all)
	require.EqualValues(t, len(all), h.Count())
	require.Equal(t, all[len(all)-1], h.Max())
	for _, q := range []float64{0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
		want := float64(all[int(math.Ceil(q*float64(len(all))))-1])
		got := float64(h.Quantile(q))
		require.GreaterOrEqual(t, got, want, q)
		require.LessOrEqual(t, got, want*(1+1.0/31)+1, q)
	}
}

func TestHistogramTakesEveryDuration(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, 31, 32, 63, 64, 65, time.Second, math.MaxInt64} {
		var h stats.Histogram
		h.Add(d)
		require.Equal(t, max(d, 0), h.Quantile(0.5), d)
	}
}
