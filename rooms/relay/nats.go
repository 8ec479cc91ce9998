package relay

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/traceroom/traceroom/rooms"
)

const (
	// maxOutgoing is how many events wait to be handed to NATS, and maxIncoming how many that came from it wait to be
	// handed to their rooms. What does not fit is lost, which rooms make good from the store.
	maxOutgoing = 4096
	maxIncoming = 1 << 16
	// reconnectBuffer is how many bytes of events are kept while NATS is away.
	reconnectBuffer = 4 << 20

	connectTimeout = 2 * time.Second
	connectPause   = 250 * time.Millisecond
	// A connection on which nothing comes back for three pings is given up.
	pingEvery = 2 * time.Second
	// writeTimeout bounds how long a write to NATS, or its answer after a reconnect, may take, and settle how long Subscribe and
	// Close wait for NATS.
	writeTimeout = 2 * time.Second
	settle       = 500 * time.Millisecond
)

// NATSOptions are what OpenNATS needs to know. URL and Space are required.
type NATSOptions struct {
	// URL is that of a server, or of several, separated by commas: nats://HOST:PORT, with user and password or a token if
	// need be.
	URL string
	// Space keeps the events of nodes that share a Store apart from those of others on the same NATS: 1 or more of
	// A-Z a-z 0-9 _ -
	Space string
	// Node names this node to NATS.
	Node string
	// Wait is how long to wait for NATS to answer; 0: one attempt.
	Wait time.Duration
	// Lost is called when the connection is lost, and Regained when it is there again. Regained is also called when
	// events had to be dropped: rooms should look into the store either way. They must not block.
	Lost     func(error)
	Regained func(dropped bool)
	// Failed is called when an event that Publish took could not be sent, or one that came could not be read. It must
	// not block.
	Failed func(error)
}

// NATS is the Relay of many nodes: a subject for each room, subscribed to while the room has somebody to tell on this
// node.
//
// mu guards subscribed and closed, and is not held while a handler runs. One goroutine hands events to NATS, so that a
// Publish never waits for the network; another hands those that come to the rooms. Both are started by OpenNATS and ended
// by Close.
type NATS struct {
	opts    NATSOptions
	conn    *nats.Conn
	local   Local
	prefix  string
	out     chan *nats.Msg
	in      chan *nats.Msg // NATS sends to it; never closed
	stop    chan struct{}  // closed by Close
	running sync.WaitGroup

	mu         sync.Mutex
	subscribed map[string]*subscription // by room
	closed     bool
}

type subscription struct {
	handlers int
	sub      *nats.Subscription
}

var _ rooms.Relay = (*NATS)(nil)

// OpenNATS connects to NATS. The connection is made again for ever if it is lost. An error is one line and has no
// password.
func OpenNATS(ctx context.Context, opts NATSOptions) (*NATS, error) {
	n := &NATS{
		opts: opts, prefix: "traceroom." + opts.Space + ".room.",
		out: make(chan *nats.Msg, maxOutgoing), in: make(chan *nats.Msg, maxIncoming), stop: make(chan struct{}),
		subscribed: make(map[string]*subscription),
	}
	if err := n.connect(ctx); err != nil {
		return nil, err
	}
	n.running.Go(n.send)
	n.running.Go(n.receive)
	return n, nil
}

// connect tries to connect until it succeeds, or Wait has passed, or an answer says that waiting will not help.
func (n *NATS) connect(ctx context.Context) error {
	for _, one := range strings.Split(n.opts.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err != nil || u.Host == "" {
			return errors.New("want nats://HOST:PORT")
		}
	}
	until := time.Now().Add(n.opts.Wait)
	for {
		conn, err := nats.Connect(n.opts.URL,
			nats.Name(n.opts.Node), nats.NoEcho(), nats.Timeout(connectTimeout),
			nats.MaxReconnects(-1), nats.ReconnectWait(connectPause), nats.ReconnectJitter(connectPause, connectPause),
			nats.IgnoreAuthErrorAbort(), nats.ReconnectBufSize(reconnectBuffer),
			nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
			nats.FlusherTimeout(writeTimeout), nats.ReconnectOnFlusherError(),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				if err != nil { // it is nil when we close the connection
					n.opts.Lost(err)
				}
			}),
			nats.ReconnectHandler(func(conn *nats.Conn) {
				// Subscriptions have been sent again, but NATS may take longer to read them than somebody else to publish.
				_ = conn.FlushTimeout(writeTimeout) // what is missed without an answer is read from the store
				n.opts.Regained(false)
			}),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrSlowConsumer) {
					n.opts.Regained(true)
				}
				n.opts.Failed(err)
			}))
		if err == nil {
			n.conn = conn
			return nil
		}
		hopeless := errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted)
		if hopeless || ctx.Err() != nil || time.Until(until) <= 0 {
			return fmt.Errorf("NATS cannot be reached: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(connectPause, time.Until(until))):
		}
	}
}

// subject is that of a room. Ids may have dots in any place, which have a meaning to NATS; ~ is in no id.
func (n *NATS) subject(roomID string) string {
	return n.prefix + strings.ReplaceAll(roomID, ".", "~")
}

func (n *NATS) roomID(subject string) string {
	return strings.ReplaceAll(strings.TrimPrefix(subject, n.prefix), "~", ".")
}

var (
	errFull   = errors.New("relay: too many events wait for NATS")
	errClosed = errors.New("relay: closed")
)

// Publish implements rooms.Relay. It does not wait for NATS: what it could not be told later is told by
// NATSOptions.Failed.
func (n *NATS) Publish(ctx context.Context, ev *rooms.Event) error {
	_ = n.local.Publish(ctx, ev) // does not fail
	msg := &nats.Msg{Subject: n.subject(ev.RoomID), Data: appendEvent(make([]byte, 0, 256), ev, time.Now())}
	if ev.Trace.Parent != "" {
		msg.Header = nats.Header{headerParent: {ev.Trace.Parent}}
		if ev.Trace.State != "" {
			msg.Header[headerState] = []string{ev.Trace.State}
		}
	}
	select {
	case <-n.stop:
		return errClosed
	default:
	}
	select {
	case n.out <- msg:
		return nil
	default:
		return errFull
	}
}

// The headers of trace context (https://www.w3.org/TR/trace-context/), in small letters: NATS minds the case.
const (
	headerParent = "traceparent"
	headerState  = "tracestate"
)

// send hands events to NATS until Close, and then those that still wait.
func (n *NATS) send() {
	for {
		select {
		case msg := <-n.out:
			n.tell(msg)
		case <-n.stop:
			for {
				select {
				case msg := <-n.out:
					n.tell(msg)
				default:
					return
				}
			}
		}
	}
}

func (n *NATS) tell(msg *nats.Msg) {
	if err := n.conn.PublishMsg(msg); err != nil {
		n.opts.Failed(fmt.Errorf("relay: publish: %w", err))
	}
}

// receive hands what comes to the rooms.
func (n *NATS) receive() {
	for {
		select {
		case <-n.stop:
			return
		case msg := <-n.in:
			ev, err := parseEvent(n.roomID(msg.Subject), msg.Data)
			if err != nil {
				n.opts.Failed(err)
				continue
			}
			ev.Received = received(ev, time.Now())
			ev.Trace.Parent, ev.Trace.State = header(msg, headerParent), header(msg, headerState)
			_ = n.local.Publish(context.Background(), ev) // does not fail
		}
	}
}

func header(msg *nats.Msg, name string) string {
	if values := msg.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Subscribe implements rooms.Relay. When it returns, what other nodes publish from then on arrives, unless NATS is away
// or slow to answer.
func (n *NATS) Subscribe(ctx context.Context, roomID string, handle Handler) (func(), error) {
	if err := n.open(roomID); err != nil {
		return nil, err
	}
	unhandle, _ := n.local.Subscribe(ctx, roomID, handle) // does not fail
	if n.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(ctx, settle)
		_ = n.conn.FlushWithContext(ctx) // what is missed without an answer is read from the store
		cancel()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			unhandle()
			n.close(roomID)
		})
	}, nil
}

// open subscribes to the room's subject for one more handler.
func (n *NATS) open(roomID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errClosed
	}
	if s := n.subscribed[roomID]; s != nil {
		s.handlers++
		return nil
	}
	sub, err := n.conn.ChanSubscribe(n.subject(roomID), n.in)
	if err != nil {
		return fmt.Errorf("relay: subscribe: %w", err)
	}
	n.subscribed[roomID] = &subscription{1, sub}
	return nil
}

// close takes one handler away.
func (n *NATS) close(roomID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.subscribed[roomID]
	if s == nil {
		return // closed altogether
	}
	if s.handlers--; s.handlers == 0 {
		delete(n.subscribed, roomID)
		_ = s.sub.Unsubscribe() // fails only where there is no connection any more
	}
}

// Close implements rooms.Relay: what was published before is handed to NATS, unless it is away.
func (n *NATS) Close() error {
	n.mu.Lock()
	closed := n.closed
	n.closed = true
	clear(n.subscribed)
	n.mu.Unlock()
	if closed {
		return nil
	}
	close(n.stop)
	n.running.Wait()
	if n.conn.IsConnected() {
		_ = n.conn.FlushTimeout(settle)
	}
	n.conn.Close()
	return n.local.Close()
}
