package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.uber.org/zap"

	"github.com/traceroom/traceroom/rooms"
	"github.com/traceroom/traceroom/tracing/live"
	"github.com/traceroom/traceroom/tracing/span"
	"github.com/traceroom/traceroom/web/workers"
)

// Limits bound what one client may do. A zero is a limit of zero unless the field says otherwise: begin with DefaultLimits.
type Limits struct {
	Connections  int           // open at once, of all transports
	Frame        int64         // bytes of one frame from a client
	Queue        int           // events that wait for one connection
	QueueBytes   int           // the same in bytes; an event longer than that fits an empty queue
	SendRate     int           // messages a second from one connection, bursts of four times that; 0: no limit
	PingInterval time.Duration // between pings; a connection is dropped that answers nothing for two of them
	Stall        time.Duration // a connection is closed that takes nothing for so long while there is something to take
}

// DefaultLimits are the limits unless the operator says otherwise.
var DefaultLimits = Limits{
	Connections: 20_000, Frame: 64 << 10, Queue: 1024, QueueBytes: 512 << 10, SendRate: 50,
	PingInterval: 25 * time.Second, Stall: 15 * time.Second,
}

// Config is what a Server is made of. Service, Page, Metrics and Log are required.
type Config struct {
	Service rooms.Service
	Page    http.Handler // serves / and what the page needs
	Metrics http.Handler // serves /metrics
	Traces  *live.Store  // what /traces shows; nil: there is nothing
	Log     *zap.Logger
	Version string
	Limits  Limits

	// Connecting, if not nil, is called with every request that opens a connection. All that the connection does is done
	// in the context that it returns; answered is called once, with the status that the request was answered with.
	Connecting func(r *http.Request, conn *rooms.Conn) (ctx context.Context, answered func(status int))
	// Disconnected, if not nil, is called once for every connection whose request was answered well, when it has ended and
	// has left its rooms. code is that of WebSocket's close frame (RFC 6455 section 7.4), 0 for Socket.IO, which has reasons
	// only.
	Disconnected func(ctx context.Context, conn *rooms.Conn, code int, reason string)
}

// writers is how many goroutines write to connections. They never wait for a peer; more than one lets a second processor
// help.
const writers = 2

// Server answers HTTP requests and holds the connections that they open. What the connections of both transports share
// belongs to it: their ids, their places, and the pool whose goroutines write and ping.
type Server struct {
	cfg      Config
	mux      *routes
	instance string       // tells this process's connections from those of others
	newest   atomic.Int64 // number of the newest connection
	places   places
	pool     *workers.Pool
	store    checkup
	sockets  *sockets
	socketIO *socketIO
	ready    atomic.Bool
	draining atomic.Bool

	leaving context.Context // ends when Drain begins
	leave   context.CancelFunc
}

// places counts the connections that are open, of all transports together, and bounds them. It implements engineio.Places.
type places struct {
	limit int64
	taken atomic.Int64
}

// Take takes a place, if there is one.
func (p *places) Take() bool {
	if p.taken.Add(1) > p.limit {
		p.taken.Add(-1)
		return false
	}
	return true
}

// Leave gives a place back.
func (p *places) Leave() { p.taken.Add(-1) }

// New returns a Server that is not ready yet: see Ready. Close must be called.
func New(cfg Config) *Server {
	if cfg.Connecting == nil {
		cfg.Connecting = func(r *http.Request, _ *rooms.Conn) (context.Context, func(int)) {
			return span.Detach(r.Context()), func(int) {}
		}
	}
	if cfg.Disconnected == nil {
		cfg.Disconnected = func(context.Context, *rooms.Conn, int, string) {}
	}
	s := &Server{
		cfg: cfg, mux: &routes{ServeMux: http.NewServeMux()}, instance: instance(), places: places{limit: int64(cfg.Limits.Connections)},
		pool: workers.NewPool(writers, min(max(cfg.Limits.PingInterval/64, time.Millisecond), 250*time.Millisecond)), store: checkup{ping: cfg.Service.Ping},
	}
	s.leaving, s.leave = context.WithCancel(context.Background())
	s.sockets = newSockets(s, s.pool)
	s.socketIO = newSocketIO(s, s.pool)
	// TODO(cors): answer preflight requests and send Access-Control-Allow-Origin for configured origins. Until then
	// browsers may use the API from pages of the same origin only.
	s.mux.HandleFunc("GET /ws/{room_id}/{client_id}", s.sockets.serve)
	s.mux.Handle("GET /metrics", cfg.Metrics)
	s.mux.HandleFunc("GET /", s.page)
	s.mux.HandleFunc("/", s.nothing)
	s.api()
	return s
}

// page answers GET requests that no other pattern matches: with the page, or with 405 if the path takes other methods.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		if methods := s.methods(r); len(methods) > 0 {
			refuseMethod(w, r, methods)
			return
		}
	}
	s.cfg.Page.ServeHTTP(w, r)
}

// nothing answers all other requests that no other pattern matches: with 405 or 404.
func (s *Server) nothing(w http.ResponseWriter, r *http.Request) {
	if methods := s.methods(r); len(methods) > 0 {
		refuseMethod(w, r, methods)
		return
	}
	newProblem(http.StatusNotFound, "there is nothing at "+r.URL.Path).write(w)
}

// methods returns the methods that the request's path takes. Files of the page do not count.
func (s *Server) methods(r *http.Request) (taken []string) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := &http.Request{Method: method, Host: r.Host, URL: r.URL}
		if _, pattern := s.mux.Handler(other); pattern != "/" && (pattern != "GET /" || r.URL.Path == "/") {
			taken = append(taken, method)
		}
	}
	return taken
}

func refuseMethod(w http.ResponseWriter, r *http.Request, taken []string) {
	w.Header().Set("Allow", strings.Join(taken, ", "))
	newProblem(http.StatusMethodNotAllowed, r.URL.Path+" takes "+strings.Join(taken, ", ")).write(w)
}

// api registers the REST calls.
func (s *Server) api() {
	huma.NewError = humaError // a variable of the package, as huma has no other way
	config := huma.DefaultConfig("Traceroom", s.cfg.Version)
	document(&config)
	api := humago.New(s.mux, config)
	s.health(api)
	s.rooms(api)
	s.users(api)
	s.chatrooms(api)
	s.messages(api)
	s.traces(api)
	s.docs(api)
}

// Handler serves all requests. A trailing slash makes no difference.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody && s.cfg.Limits.Stall > 0 {
			// net/http waits for a body that nobody reads. Whoever reads one sets a deadline of its own. If there are no deadlines
			// (an error), the connection is not one of a network.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.Limits.Stall))
		}
		if isSocketIO(r) {
			s.socketIO.io.ServeHTTP(w, r)
			return
		}
		if path := r.URL.Path; len(path) > 1 && path[len(path)-1] == '/' {
			r2 := new(http.Request)
			*r2 = *r
			u := *r.URL
			u.Path = strings.TrimRight(path, "/")
			u.RawPath = ""
			if u.Path == "" {
				u.Path = "/"
			}
			r2.URL = &u
			r = r2
		}
		s.mux.ServeHTTP(w, r)
	})
}

// Route returns the pattern that the request's path will match, such as "/rooms/{room_id}".
func (s *Server) Route(r *http.Request) string {
	if isSocketIO(r) {
		return "/socket.io/"
	}
	if len(r.URL.Path) > 1 && strings.HasSuffix(r.URL.Path, "/") {
		clone := r.Clone(r.Context())
		clone.URL.Path = strings.TrimRight(r.URL.Path, "/")
		r = clone
	}
	_, pattern := s.mux.Handler(r)
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// IsSocket reports whether the request opens, or belongs to, a long-lived connection, so that its duration says nothing.
func IsSocket(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/ws/") || isSocketIO(r)
}

// IsView reports whether the request comes from the trace view, or is for a file of the page. Such requests must not be
// traced: looking at traces would make traces.
func IsView(r *http.Request) bool {
	return r.URL.Path == "/traces" || strings.HasPrefix(r.URL.Path, "/traces/") || strings.HasPrefix(r.URL.Path, "/page/")
}

// IsProbe reports whether the request is for health, readiness or metrics, as machines send it every few seconds.
func IsProbe(r *http.Request) bool {
	switch strings.TrimRight(r.URL.Path, "/") {
	case "/health", "/readyz", "/metrics":
		return true
	}
	return false
}

// isSocketIO reports whether the request is for Socket.IO, which answers requests of any method in its own words.
func isSocketIO(r *http.Request) bool {
	return r.URL.Path == "/socket.io" || strings.HasPrefix(r.URL.Path, "/socket.io/")
}

// Ready sets whether the server can serve, which GET /readyz answers.
func (s *Server) Ready(ready bool) { s.ready.Store(ready) }

// Drain takes no more connections, tells every client that the server goes away, and waits until all connections have been
// written what waits for them and are closed, or until ctx ends; then it closes those that are left. It does not wait for
// the Service much longer than that: Close waits for connections that are still leaving their rooms.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	s.leave()
	var both sync.WaitGroup
	both.Go(func() {
		if err := s.socketIO.io.Close(ctx); err != nil {
			s.cfg.Log.Warn("some Socket.IO clients did not go in time", zap.Error(err))
		}
	})
	s.sockets.drain(ctx)
	both.Wait()
	s.store.wait(ctx)
}

// Close ends the goroutines of a server that has been drained. It waits for their calls of the Service to return.
func (s *Server) Close() {
	_ = s.sockets.open.Wait(context.Background()) // which does not end
	s.pool.Close()
}

// join calls the Service's Join, with a context that ends when the server begins to drain: whoever waits for a turn then does
// not join.
func (s *Server) join(ctx context.Context, conn *rooms.Conn, req rooms.Join) (*rooms.Member, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.leaving, cancel)()
	return s.cfg.Service.Join(ctx, conn, req)
}

// connID names the next connection: unique among all processes, with its number within this one at the end.
func (s *Server) connID() string {
	return s.instance + "-" + strconv.FormatInt(s.newest.Add(1), 10)
}

// instance returns 24 random bits in hexadecimal.
func instance() string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // does not fail
	return hex.EncodeToString(b[:])
}
