package web

import (
	"fmt"
	"net/http"
	"strings"
)

// Limits of a request. Ids have at most 64 characters, so that no path of the server has more than 140 bytes; the longest
// query is a room's name, percent-encoded.
const (
	maxPath   = 256     // bytes, decoded
	maxTarget = 4 << 10 // bytes, of path and query as they were sent
	maxMethod = 16      // bytes
)

// TooLong is the reason with which Bounded refuses a request.
const TooLong = "request_too_long"

// Bounded refuses requests that are longer than any that the server takes, and calls refused with the reason for each. next,
// which includes whoever observes requests, does not see them.
//
// Method and path are copied for next: parts of them that it keeps do not keep the whole request line in memory.
func Bounded(next http.Handler, refused func(reason string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var p *Problem
		switch {
		case len(r.Method) > maxMethod:
			p = newProblem(http.StatusNotImplemented, "no method has so long a name")
		case len(r.URL.Path) > maxPath:
			p = newProblem(http.StatusRequestURITooLong, fmt.Sprintf("no path is longer than %d bytes", maxPath))
		case len(r.RequestURI) > maxTarget:
			p = newProblem(http.StatusRequestURITooLong, fmt.Sprintf("path and query must be at most %d bytes", maxTarget))
		default:
			r.Method, r.URL.Path, r.URL.RawPath = strings.Clone(r.Method), strings.Clone(r.URL.Path), strings.Clone(r.URL.RawPath)
			next.ServeHTTP(w, r)
			return
		}
		refused(TooLong)
		p.write(w)
	})
}
