// Package stats is the arithmetic of the benchmarks: medians, quantiles and a histogram that is cheap enough to record every
// delivery. It knows nothing of what is measured and does no input or output.
package stats
