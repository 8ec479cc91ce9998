package ws

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/traceroom/traceroom/web/workers"
)

// Handler is told what comes on one Conn, one call at a time, by the goroutine that reads from it: while a method runs,
// nothing more is read.
type Handler interface {
	// Message is called for each message, in order. op is Text or Binary; text is UTF-8. p is valid until Message returns. An
	// error ends the connection: with the error, if it is a Status, or with the code 1011 unless the Handler has ended it.
	// After this side has ended the connection no message is handed over.
	Message(op Op, p []byte) error
	// Ended is called once, last, when nothing more is read. why is what this side ended the connection with, or the peer's
	// close frame, or Lost. err is nil if the peer sent a close frame, else why reading ended: a ProtocolError, ErrTooLong,
	// ErrNotUTF8, ErrStalled, what Message returned, or the error of the connection. What is pushed until Ended returns is
	// still written, if that is possible.
	Ended(why Status, err error)
}

// ErrStalled is the error for a peer that took nothing for Limits.Stall.
var ErrStalled = errors.New("ws: the peer took nothing for too long")

// behindClose is how long what a peer sends behind its close frame is read and discarded, unless it closes before.
const behindClose = time.Second

// maxReplies is how many pongs and other replies may wait for one connection. They take up nothing of its Limits.
const maxReplies = 32

// maxSilent is how many pings in a row without a sign of life after them end a connection.
const maxSilent = 2

// Conn is one WebSocket connection. From Start on one goroutine of its own reads it and calls its Handler; every method of
// Conn may be called from any goroutine, and none of them waits for the peer.
type Conn struct {
	group *Group
	out   queue // anybody's; all writing goes through it

	// Of the goroutine that reads.
	in      reader
	handler Handler

	ending atomic.Pointer[Status] // why this side ends the connection; the first to set it wins
	reads  atomic.Bool            // Start has been called
	heard  atomic.Bool            // the peer has said something since the last ping

	silent int32 // pings without a sign of life after them; of the goroutine that rings alarms

	// mu guards the fields below. The pool's alarms may be set while it is held; nothing else is called.
	mu      sync.Mutex
	gone    bool          // no alarm may be set any more
	replies int32         // how many wait
	alarm   workers.Alarm // for the next ping
	owed    []byte        // the pong for the newest ping, when too many replies wait
}

func newConn(g *Group, id string, conn net.Conn) *Conn {
	c := &Conn{group: g}
	c.in.init(conn, g.opts.MaxMessage)
	c.out.init(g.pool, id, conn, &g.opts.Limits)
	c.alarm.Owner = (*ringing)(c)
	c.heard.Store(true)
	return c
}

// Start begins to read and to call h. It returns at once.
func (c *Conn) Start(h Handler) {
	c.handler = h
	c.reads.Store(true)
	go c.read()
}

// Push queues an item behind what was pushed before. It returns false if the item does not fit (see Limits) or the
// connection has been ended; then nothing of it is written and its Done is not called. An item that is heavier than a limit
// fits where nothing waits.
func (c *Conn) Push(it Item) bool { return c.out.Push(it) }

// Open reports whether the connection has not been ended: whether a Push that returned false did so for lack of room.
func (c *Conn) Open() bool { return c.out.Open() }

// Finish ends the connection: what waits is written, then a close frame with why. Only the first Finish or Abort counts.
func (c *Conn) Finish(why Status) {
	if c.ending.CompareAndSwap(nil, &why) {
		c.out.Finish(why.AppendFrame(nil), c.group.opts.Linger)
	}
}

// Abort is like Finish but drops what waits. A frame that is being written is completed.
func (c *Conn) Abort(why Status) {
	if c.ending.CompareAndSwap(nil, &why) {
		c.out.Abort(why.AppendFrame(nil), c.group.opts.Linger)
	}
}

// Close closes the connection now. What waits is dropped, and nothing more is written.
func (c *Conn) Close() { c.out.Close() }

// Reply queues a frame that replies to what the peer has just sent. It takes up nothing of the Limits. It is dropped if 32
// replies wait: then the peer does not read those that it has got.
func (c *Conn) Reply(p []byte) { c.reply(p, false) }

// pong answers a ping. Of the pings that cannot be answered yet the newest will be (RFC 6455 section 5.5.3).
func (c *Conn) pong(payload []byte) {
	c.reply(AppendFrame(make([]byte, 0, 2+len(payload)), Pong, payload), true)
}

func (c *Conn) reply(p []byte, owe bool) {
	c.mu.Lock()
	full := c.replies >= maxReplies
	if !full {
		c.replies++
	} else if owe {
		c.owed = p
	}
	c.mu.Unlock()
	if !full {
		c.push(p)
	}
}

// push queues a reply that has been counted.
func (c *Conn) push(p []byte) {
	if !c.out.Push(&reply{c, p}) {
		c.mu.Lock()
		c.replies--
		c.mu.Unlock()
	}
}

// replied is called when a reply waits no more. The pong that is owed takes its place.
func (c *Conn) replied() {
	c.mu.Lock()
	owed := c.owed
	c.owed = nil
	if owed == nil {
		c.replies--
	}
	c.mu.Unlock()
	if owed != nil {
		c.push(owed)
	}
}

// reply is an Item that takes up nothing of the limits.
type reply struct {
	conn  *Conn
	bytes []byte
}

func (r *reply) Bytes() []byte     { return r.bytes }
func (r *reply) Len() int          { return 0 }
func (r *reply) Done(string, bool) { r.conn.replied() }
func (r *reply) Late(string)       {}

var pingFrame = Bytes(AppendFrame(nil, Ping, nil))

// planPing sets the alarm for the next ping. The first one comes at any time of the interval.
func (c *Conn) planPing(first bool) {
	interval := c.group.opts.PingInterval
	if interval <= 0 {
		return
	}
	if first {
		interval = 1 + rand.N(interval)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.group.pool.Set(&c.alarm, c.group.pool.In(interval))
	}
}

// ringing is a Conn as the owner of its alarm.
type ringing Conn

// Ring sends a ping, or closes the connection if the peer has been silent for too long.
func (r *ringing) Ring(workers.Moment) {
	c := (*Conn)(r)
	if c.heard.Swap(false) || !c.reads.Load() {
		// Before Start nothing is read. That the peer takes something is seen to by Limits.Stall.
		c.silent = 0
	} else if c.silent++; c.silent >= maxSilent {
		c.ending.CompareAndSwap(nil, &Silent)
		c.out.Close()
		return
	}
	// If the queue is full, the ping is left out: the peer has enough to answer to.
	c.out.Push(pingFrame)
	c.planPing(false)
}

// leave ends pings and takes c out of its group.
func (c *Conn) leave() {
	c.mu.Lock()
	c.gone = true
	c.group.pool.Set(&c.alarm, 0)
	c.mu.Unlock()
	c.group.remove(c)
}

// errQuiet is what frames returns when the caller should go on in a fresh goroutine, whose stack is small again.
var errQuiet = errors.New("ws: quiet")

// read reads until the connection ends, and then ends what is left of it.
func (c *Conn) read() {
	err := c.frames()
	if err == errQuiet {
		go c.read()
		return
	}
	grace := c.end(err)
	c.in.Drain(grace)
	c.out.ReadDone()
	c.leave()
}

// frames handles what the peer sends, and returns why that ended.
//
// A goroutine's stack grows while a message is handled, and does not get as small again: 6.3 KiB, instead of 2.5, for a
// connection of the chat that has sent one message. A pong after a message shows that the peer has gone quiet; then frames
// returns errQuiet. TestAQuietConnectionHasASmallStack would show the loss.
func (c *Conn) frames() error {
	grown := false
	for {
		op, p, err := c.in.Next()
		if err != nil {
			return err
		}
		c.heard.Store(true)
		switch op {
		case Pong:
			if grown {
				return errQuiet
			}
		case Ping:
			c.pong(p)
			grown = true
		case Close:
			return c.closed(p)
		default:
			if c.ending.Load() != nil {
				continue
			}
			if op == Text && !utf8.Valid(p) {
				return ErrNotUTF8
			}
			if err := c.handler.Message(op, p); err != nil {
				return c.failed(err)
			}
			grown = true
		}
	}
}

// failed returns err, which Message has returned. If neither err nor the Handler says what the peer is told, it is told 1011.
func (c *Conn) failed(err error) error {
	if !errors.As(err, new(Status)) {
		c.Finish(Status{codeInternal, "the message could not be handled"})
	}
	return err
}

// peerClosed is the error for the peer's close frame.
type peerClosed struct{ Status }

// closed answers the peer's close frame with its code.
func (c *Conn) closed(p []byte) error {
	code, reason, err := ParseClose(p)
	if err != nil {
		return err
	}
	c.out.Finish(Status{Code: code}.AppendFrame(nil), c.group.opts.Linger)
	return peerClosed{Status{code, reason}}
}

// end tells the peer what it did wrong, if that is why reading ended, and the Handler that it ended. It returns how long what
// the peer still sends is to be discarded.
func (c *Conn) end(err error) (grace time.Duration) {
	grace = c.group.opts.Linger
	why := Lost
	var peer peerClosed
	var broke ProtocolError
	switch {
	case errors.As(err, &peer):
		why, err, grace = peer.Status, nil, behindClose
	case c.out.Stalled():
		err = ErrStalled
	case errors.As(err, &broke):
		why = Status{codeProtocolError, broke.Error()}
	case errors.Is(err, ErrTooLong):
		why = TooBig
	case errors.Is(err, ErrNotUTF8):
		why = NotUTF8
	default:
		errors.As(err, &why)
	}
	if why != Lost {
		// Not Finish: it is not this side that ends it. It does nothing if the peer has been answered or told already.
		c.out.Finish(why.AppendFrame(nil), c.group.opts.Linger)
	}
	if own := c.ending.Load(); own != nil {
		why = *own
	}
	c.handler.Ended(why, err)
	c.out.Finish(nil, c.group.opts.Linger) // what waits is still written
	return grace
}
