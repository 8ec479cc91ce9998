package web

import (
	"fmt"
	"net/http"
	"strings"
)

// What a request of this server's can be at the most. Ids are at most 64 characters, so that no path of its own has more
// than 140; the longest query is a room's name, percent-encoded.
const (
	maxPath   = 256     // bytes, decoded
	maxTarget = 4 << 10 // bytes, of path and query as they were sent
	maxMethod = 16      // bytes
)

// TooLong is why Bounded refuses a request.
const TooLong = "request_too_long"

// Bounded refuses requests that are longer than any that the server takes, before next, and with it whoever observes the
// requests, sees them. refused is called with the reason for each.
//
// What next keeps of a path does not keep the whole line that the path came in.
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
