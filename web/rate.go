package web

import "time"

// rate is a token bucket that allows perSecond calls a second and bursts of four times as many. It is for one goroutine.
type rate struct {
	perSecond float64
	tokens    float64
	last      time.Time
}

const burstSeconds = 4

func newRate(perSecond int) rate {
	return rate{perSecond: float64(perSecond), tokens: burstSeconds * float64(perSecond)}
}

func (r *rate) allow(now time.Time) bool {
	if r.perSecond == 0 {
		return true
	}
	if !r.last.IsZero() {
		r.tokens = min(burstSeconds*r.perSecond, r.tokens+max(0, now.Sub(r.last).Seconds())*r.perSecond)
	}
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
