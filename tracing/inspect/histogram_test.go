package inspect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantilesAreWithinTheirError(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 100, 5000} {
		for _, spread := range []float64{1, 10, 25, 51} {
			var h histogram
			all := make([]int64, n)
			for i := range all {
				all[i] = int64(math.Exp2(rng.Float64() * spread))
				h.add(all[i])
			}
			slices.Sort(all)
			for _, q := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
				exact := all[max(0, int(math.Ceil(q*float64(n)))-1)]
				require.InEpsilon(t, exact, h.quantile(q), maxError+1e-12, "n %d, up to 2^%v, quantile %v", n, spread, q)
			}
			require.Equal(t, all[n-1], h.max)
			require.Less(t, len(h.counts), 3500)
		}
	}
}

func TestBucketsMeet(t *testing.T) {
	last := -1
	for v := int64(0); v < 1<<20; v++ {
		b := bucket(v)
		require.True(t, b == last || b == last+1, "%d", v)
		last = b
	}
}
