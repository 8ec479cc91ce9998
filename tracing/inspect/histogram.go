package inspect

import "math/bits"

// histogram counts durations in microseconds so that any quantile can be told within maxError, in memory that does not
// grow with their number: values below 128 are exact, each power of two above is cut into 64 equal buckets, and a bucket
// answers with its middle. At most 23 KiB.
type histogram struct {
	n, total, min, max int64
	counts             []int64
}

// maxError is the largest relative error of a quantile: half of a bucket's width over its lower end.
const maxError = 1.0 / 128

const subBits = 6 // 64 buckets a power of two

// bucket gives the bucket of v, which is not negative.
func bucket(v int64) int {
	if v < 2<<subBits {
		return int(v)
	}
	shift := bits.Len64(uint64(v)) - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// middle gives the value that bucket i answers with.
func middle(i int) int64 {
	if i < 2<<subBits {
		return int64(i)
	}
	shift := i>>subBits - 1
	low := int64(i-shift<<subBits) << shift
	return low + (int64(1)<<shift-1)/2
}

func (h *histogram) add(v int64) {
	if h.n++; h.n == 1 {
		h.min = v
	}
	h.total += v
	h.min = min(h.min, v)
	h.max = max(h.max, v)
	i := bucket(v)
	if i >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, i+1-len(h.counts))...)
	}
	h.counts[i]++
}

// quantile returns the smallest value that at least the part q of all values is not above.
func (h *histogram) quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	rank := int64(q * float64(h.n))
	if float64(rank) < q*float64(h.n) || rank == 0 {
		rank++
	}
	for i, c := range h.counts {
		if rank -= c; rank <= 0 {
			return max(h.min, min(middle(i), h.max))
		}
	}
	return h.max
}
