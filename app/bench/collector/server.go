package collector

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// Counts is what was received since the start.
type Counts struct {
	Spans    int64 `json:"spans"`
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`    // of the bodies as received, compressed or not
	Rejected int64 `json:"rejected"` // requests that were not OTLP as protobuf
}

// Server counts the spans posted to /v1/traces, discards /v1/metrics and /v1/logs, and answers GET /counts with Counts as JSON.
// The zero value is ready to use. It is safe for concurrent use.
type Server struct {
	spans, requests, size, rejected atomic.Int64

	buffers sync.Pool // *bytes.Buffer
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/v1/traces":
		s.traces(w, r)
	case "/v1/metrics", "/v1/logs":
		// An empty body is an empty response message in protobuf.
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	case "/counts":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Counts{s.spans.Load(), s.requests.Load(), s.size.Load(), s.rejected.Load()})
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) traces(w http.ResponseWriter, r *http.Request) {
	buf, _ := s.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	defer s.buffers.Put(buf)
	if r.Header.Get("Content-Type") != "application/x-protobuf" {
		s.rejected.Add(1)
		http.Error(w, "only application/x-protobuf", http.StatusUnsupportedMediaType)
		return
	}
	counted := &countingReader{r: r.Body}
	var body io.Reader = counted
	var err error
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(counted)
	}
	if err == nil {
		_, err = buf.ReadFrom(body)
	}
	var n int
	if err == nil {
		n, err = Count(buf.Bytes())
	}
	if err != nil {
		s.rejected.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.spans.Add(int64(n))
	s.requests.Add(1)
	s.size.Add(counted.n)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
