package engineio

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traceroom/traceroom/web/workers"
)

// Transports, as clients name them.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// DefaultMaxPayload is the default of Options.MaxPayload.
const DefaultMaxPayload = 1_000_000

// Options are what a Server can be told. The zero value is usable: fields that are zero or, unless they say otherwise,
// negative take their defaults.
type Options struct {
	// Path is where the server answers, with or without its last slash; elsewhere it answers 404. Default "/engine.io/".
	Path string
	// PingInterval is the longest time between two pings to a client. Default 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a client may take for its pong. Default 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long a client may take to complete an upgrade. Default 10 s.
	UpgradeTimeout time.Duration
	// MaxPayload is how many bytes a POST or a WebSocket message may have. Default DefaultMaxPayload.
	MaxPayload int64
	// QueueLimit bounds what waits to be sent to one client: the number of messages, or the sum of the Len of items. Default
	// 256.
	QueueLimit int
	// QueueBytes bounds the same in bytes. Default 1,000,000.
	QueueBytes int
	// StallTimeout is how long a client on a WebSocket may take nothing while there is something for it to take; then the
	// session ends with TooSlow. The answer to a poll may take PingTimeout. Default 15 s.
	StallTimeout time.Duration
	// Places bounds how many clients there may be at once; one that gets no place is answered with 503. Default: no limit.
	Places Places

	// CheckOrigin says whether a request may come from where its Origin header says. Default: from the same host, or
	// without the header, as from clients that are no browsers.
	CheckOrigin func(r *http.Request) bool
	// Open is called with each request that opens a session, before it is answered. Default: the Opening has its defaults.
	Open func(r *http.Request) Opening
	// HandshakeBytes bounds what Session.Handshake keeps: the bytes of the request's headers and query, which stay for as
	// long as the session. A request with more is refused with 431. Negative: nothing is kept, whatever the size. Default
	// 8,192.
	HandshakeBytes int
	// Hooks are called when something happens to a session.
	Hooks Hooks
	// Pool writes to WebSocket connections, and rings when pings and deadlines are due. Servers, and other users, may share
	// one; it must not be closed before them. Default: one of the server's own.
	Pool *workers.Pool
}

// Opening is what the owner of a Server decides about a session before it is opened.
type Opening struct {
	// Context is given to the session's Handler and returned by Session.Context. It is kept for as long as the session, so it
	// should not keep the request or its context in memory. The session's is not cancelled when it is. Default: the background.
	Context context.Context
	// ConnID names the session to those who must not know its id, which is a secret between client and server. It is passed to
	// the items' Done and Late. Default: random.
	ConnID string
	// Value is what Session.Value returns.
	Value any
	// Answered, if not nil, is called once with the status that the request is answered with. If that is 101 or 200, the
	// session is opened.
	Answered func(status int)
}

// opening returns what the owner decides, with defaults.
func (o *Options) opening(r *http.Request) (opening Opening) {
	if o.Open != nil {
		opening = o.Open(r)
	}
	if opening.Context == nil {
		opening.Context = context.Background()
	}
	opening.Context = context.WithoutCancel(opening.Context)
	if opening.ConnID == "" {
		opening.ConnID = NewID()
	}
	if opening.Answered == nil {
		opening.Answered = func(int) {}
	}
	return opening
}

// Places bound how many clients there may be; servers may share them. The methods are called from any goroutine, with locks
// held, and must not block.
type Places interface {
	// Take takes a place for a client that comes, and returns false if there is none.
	Take() bool
	// Leave gives a place back.
	Leave()
}

// Hooks are called when something happens to a session, for counting and tracing. Any of them may be nil. They are called by
// the goroutine that it happens in and must not wait for the session.
type Hooks struct {
	// Open is called when a session has been opened, before its Handler is made.
	Open func(s *Session)
	// Upgrade is called when a session has changed from polling to WebSocket.
	Upgrade func(s *Session)
	// Close is called once when a session has ended, before its Handler's Close. s.Transport is the one that it ended on.
	Close func(s *Session, reason Reason, err error)
}

func (o Options) withDefaults() Options {
	def(&o.PingInterval, 25*time.Second)
	def(&o.PingTimeout, 20*time.Second)
	def(&o.UpgradeTimeout, 10*time.Second)
	def(&o.MaxPayload, DefaultMaxPayload)
	def(&o.QueueLimit, 256)
	def(&o.QueueBytes, 1_000_000)
	def(&o.StallTimeout, 15*time.Second)
	if o.HandshakeBytes == 0 {
		o.HandshakeBytes = 8 << 10
	}
	if o.Path == "" {
		o.Path = "/engine.io/"
	}
	o.Path = "/" + strings.Trim(o.Path, "/")
	if o.CheckOrigin == nil {
		o.CheckOrigin = sameOrigin
	}
	return o
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}
