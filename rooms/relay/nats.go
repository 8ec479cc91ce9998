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
	// maxOutgoing is how many events may wait to be sent to NATS, and maxIncoming how many from NATS may wait for their rooms. Further
	// ones are lost; rooms read what they miss from the store.
	maxOutgoing = 4096
	maxIncoming = 1 << 16
	// reconnectBuffer is how many bytes of events are kept while NATS cannot be reached.
	reconnectBuffer = 4 << 20

	connectTimeout = 2 * time.Second
	connectPause   = 250 * time.Millisecond
	// A connection on which three pings are not answered is given up.
	pingEvery = 2 * time.Second
	// writeTimeout bounds a write to NATS, and the answer of NATS after a reconnect; flushTimeout is how long Subscribe and Close wait
	// for NATS.
	writeTimeout = 2 * time.Second
	flushTimeout = 500 * time.Millisecond
)

// NATSOptions configure OpenNATS. URL, Space and the callbacks are required. The callbacks may be called from any goroutine, and must
// not block.
type NATSOptions struct {
	// URL is nats://HOST:PORT, if need be with user and password or a token, or several of them with commas between.
	URL string
	// Space is the same for all nodes that share a Store, and differs from that of others on the same NATS: 1 or more of
	// A-Z a-z 0-9 _ -
	Space string
	// Node names this node to NATS.
	Node string
	// Wait is how long to wait for NATS to answer; 0: one attempt.
	Wait time.Duration
	// Lost is called when the connection is lost, and Regained when it exists again, or when events from NATS had to be dropped.
	// After Regained rooms should be compared with the store, as they may have missed events.
	Lost     func(error)
	Regained func(dropped bool)
	// Failed is called when an event that Publish has taken could not be sent, or one from NATS could not be read.
	Failed func(error)
}

// NATS is the Relay of many nodes. Each room has a subject, to which a node subscribes while it has handlers for the room. The methods
// may be called from any goroutine.
//
// One goroutine sends events to NATS, so that Publish never waits for the network; another hands events from NATS to the rooms.
// OpenNATS starts both, Close ends them. mu guards subscribed and closed, and is not held while a handler runs.
type NATS struct {
	opts    NATSOptions
	conn    *nats.Conn
	local   Local
	prefix  string
	out     chan *nats.Msg // to be sent
	in      chan *nats.Msg // from NATS; never closed
	stop    chan struct{}  // closed by Close
	running sync.WaitGroup

	mu         sync.Mutex
	subscribed map[string]*subscription // by room
	closed     bool
}

// subscription is to the subject of a room.
type subscription struct {
	handlers int // at least 1
	sub      *nats.Subscription
}

var _ rooms.Relay = (*NATS)(nil)

// OpenNATS connects to NATS. If the connection is lost later, it is made again, however long that takes. The error is one line
// and contains no password.
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

// connect tries to connect until it succeeds, or for as long as Wait, or until NATS gives an answer that will not change.
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
				if err != nil { // it is nil if Close has closed the connection
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

// subject returns the subject of a room. Dots, which may be anywhere in an id, mean something to NATS; no id contains ~.
func (n *NATS) subject(roomID string) string {
	return n.prefix + strings.ReplaceAll(roomID, ".", "~")
}

// roomID is the reverse of subject.
func (n *NATS) roomID(subject string) string {
	return strings.ReplaceAll(strings.TrimPrefix(subject, n.prefix), "~", ".")
}

var (
	errFull   = errors.New("relay: too many events wait for NATS")
	errClosed = errors.New("relay: closed")
)

// Publish implements rooms.Relay. It does not wait for NATS: if the event cannot be sent later, NATSOptions.Failed is called.
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

// The headers of trace context (https://www.w3.org/TR/trace-context/), in lower case: NATS distinguishes upper and lower case.
const (
	headerParent = "traceparent"
	headerState  = "tracestate"
)

// send sends events to NATS until Close, and then those that still wait.
func (n *NATS) send() {
	for {
		select {
		case msg := <-n.out:
			n.sendOne(msg)
		case <-n.stop:
			for {
				select {
				case msg := <-n.out:
					n.sendOne(msg)
				default:
					return
				}
			}
		}
	}
}

func (n *NATS) sendOne(msg *nats.Msg) {
	if err := n.conn.PublishMsg(msg); err != nil {
		n.opts.Failed(fmt.Errorf("relay: publish: %w", err))
	}
}

// receive hands events from NATS to the rooms, until Close.
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

// header returns the value of a header, or "" if there is none.
func header(msg *nats.Msg, name string) string {
	if values := msg.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Subscribe implements rooms.Relay. After it has returned, what other nodes publish arrives, unless NATS cannot be reached or
// answers slowly.
func (n *NATS) Subscribe(ctx context.Context, roomID string, handle Handler) (func(), error) {
	if err := n.addHandler(roomID); err != nil {
		return nil, err
	}
	unhandle, _ := n.local.Subscribe(ctx, roomID, handle) // does not fail
	if n.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		_ = n.conn.FlushWithContext(ctx) // if NATS does not answer, rooms read what they miss from the store
		cancel()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			unhandle()
			n.removeHandler(roomID)
		})
	}, nil
}

// addHandler counts one more handler of a room, and subscribes to its subject for the first one.
func (n *NATS) addHandler(roomID string) error {
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

// removeHandler counts off one handler of a room, and ends the subscription with the last one.
func (n *NATS) removeHandler(roomID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.subscribed[roomID]
	if s == nil {
		return // the NATS was closed
	}
	if s.handlers--; s.handlers == 0 {
		delete(n.subscribed, roomID)
		_ = s.sub.Unsubscribe() // fails only without a connection
	}
}

// Close implements rooms.Relay. It sends what was published before, unless NATS cannot be reached. It may be called again.
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
		_ = n.conn.FlushTimeout(flushTimeout)
	}
	n.conn.Close()
	return n.local.Close()
}
