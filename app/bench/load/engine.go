//go:build linux

package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/traceroom/traceroom/app/bench/stats"
	"github.com/traceroom/traceroom/app/bench/wire"
	"github.com/traceroom/traceroom/web/ws"
)

// engine has the connections of one plan. The goroutine that runs the plan owns all of it. Other goroutines only dial; they
// hand connections over through a channel.
type engine struct {
	plan  Plan
	addrs []netip.AddrPort // of the nodes
	epoll int
	timer int // a timerfd; -1 if there is none

	rooms []*room
	fds   []*client // by file descriptor

	buf    []byte // for reading
	events []unix.EpollEvent
	due    []*client // those with something to send

	bytes   int64
	damaged int64
	closed  int64
	syncs   int64
	ending  bool // closed connections are no longer counted
	paused  bool // nothing more is sent

	latency *stats.Histogram  // nil while latency is not measured
	sentAt  [][]time.Duration // by room and message: when it was due, since epoch; for latency
	epoch   time.Time
	now     time.Duration // time of the last read, since epoch; for latency
}

// room is one room of the server.
type room struct {
	number  uint16
	ledger  ledger
	clients []*client
}

// client is one member of one room.
type client struct {
	fd     int
	index  int // in its room
	room   *room
	script script
	view   view
	rest   []byte // the beginning of a frame
	frag   []byte // the beginning of a message that has several frames
	out    []byte // to be sent
	owes   int    // messages that it may send now
	due    bool
	gone   bool
	sync   uint32 // the newest sync message that it has seen, see syncAll
}

// goodbye is a close frame with code 1000.
var goodbye = ws.AppendClientFrame(nil, ws.Close, []byte{1000 >> 8, 1000 & 0xff})

// readSize is how many bytes are read with one system call.
const readSize = 256 << 10

func newEngine(p Plan) (*engine, error) {
	var addrs []netip.AddrPort
	for _, s := range append([]Server{{Addr: p.Addr}}, p.More...) {
		addr, err := netip.ParseAddrPort(s.Addr)
		if err != nil {
			return nil, fmt.Errorf("address of the server: %w", err)
		}
		addrs = append(addrs, addr)
	}
	if p.Rate > 0 {
		p.Ack = "" // messages that arrive must not cause others
	}
	e := &engine{plan: p, addrs: addrs, timer: -1, epoch: time.Now(), buf: make([]byte, 2*readSize), events: make([]unix.EpollEvent, 1024)}
	var err error
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return e, nil
}

// close closes all connections.
func (e *engine) close() {
	e.leaveAll()
	if e.timer >= 0 {
		_ = unix.Close(e.timer)
	}
	_ = unix.Close(e.epoll)
}

// leaveAll closes all connections and removes all rooms.
func (e *engine) leaveAll() {
	e.ending = true
	for _, r := range e.rooms {
		for _, c := range r.clients {
			if c != nil {
				e.drop(c)
			}
		}
	}
	e.rooms = nil
	e.ending = false
}

// add adds a connection that was dialled.
func (e *engine) add(c *client) error {
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return err
	}
	if c.fd >= len(e.fds) {
		e.fds = append(e.fds, make([]*client, c.fd+1-len(e.fds))...)
	}
	e.fds[c.fd] = c
	return unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(c.fd)})
}

// drop closes a connection.
func (e *engine) drop(c *client) {
	if c.gone {
		return
	}
	c.gone = true
	if e.fds[c.fd] == c {
		e.fds[c.fd] = nil
	}
	hangUp(c.fd)
	if !e.ending {
		e.closed++
		c.room.ledger.leave(&c.view)
	}
}

// wait waits at most d for data, reads all there is, and sends what is due. It returns how often the timer has expired
// meanwhile.
func (e *engine) wait(ctx context.Context, d time.Duration) (ticks int, err error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	if e.plan.Spin {
		ms = 0
	}
	n, err := unix.EpollWait(e.epoll, e.events, ms)
	if err != nil && err != unix.EINTR {
		return 0, fmt.Errorf("epoll: %w", err)
	}
	for i := range max(n, 0) {
		fd := int(e.events[i].Fd)
		if fd == e.timer {
			ticks += e.ticks()
			continue
		}
		c := e.fds[fd]
		if c == nil {
			continue
		}
		e.read(c, e.events[i].Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		if len(c.out) > 0 && !c.gone {
			e.flush(c)
		}
	}
	e.sendDue()
	return ticks, nil
}

// waitFor is wait without a timer.
func (e *engine) waitFor(ctx context.Context, d time.Duration) error {
	_, err := e.wait(ctx, d)
	return err
}

// read reads from c until its socket is empty or, if ended, to the end of the stream, which epoll does not report again.
func (e *engine) read(c *client, ended bool) {
	for !c.gone {
		have := copy(e.buf, c.rest)
		if len(e.buf)-have < readSize {
			e.buf = append(e.buf, make([]byte, len(e.buf))...)
		}
		n, err := unix.Read(c.fd, e.buf[have:])
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil || n == 0:
			e.drop(c)
			return
		}
		e.bytes += int64(n)
		if e.latency != nil {
			e.now = time.Since(e.epoch)
		}
		short := n < len(e.buf)-have && !ended // then the socket is empty, see epoll(7)
		if !e.take(c, e.buf[:have+n]) {
			e.drop(c)
			return
		}
		if short {
			return
		}
	}
}

// take processes the frames in b, which c has read, and keeps an incomplete last one. It reports false if the connection ends.
func (e *engine) take(c *client, b []byte) bool {
	for {
		f, n, err := ws.CutFrame(b)
		if err != nil {
			e.damaged++
			return false
		}
		if n == 0 {
			c.rest = append(c.rest[:0], b...)
			return true
		}
		b = b[n:]
		switch f.Op {
		case ws.Text, ws.Continuation:
			if f.Final && len(c.frag) == 0 {
				e.texts(c, f.Payload)
				continue
			}
			c.frag = append(c.frag, f.Payload...)
			if f.Final {
				e.texts(c, c.frag)
				c.frag = c.frag[:0]
			}
		case ws.Ping:
			c.out = ws.AppendClientFrame(c.out, ws.Pong, f.Payload)
			e.mark(c)
		case ws.Close:
			return false
		}
	}
}

// texts counts the messages in a payload.
func (e *engine) texts(c *client, payload []byte) {
	if len(payload) == 1 && payload[0] == '2' { // a ping of Engine.IO
		c.out = ws.AppendClientFrame(c.out, ws.Text, []byte("3"))
		e.mark(c)
		return
	}
	r := c.room
	for {
		number, n, rest, ok := wire.FindText(payload)
		switch {
		case !ok:
			e.damaged++
			return
		case rest == nil:
			return
		case number == wire.SyncRoom:
			c.sync = max(c.sync, n)
		case number != r.number:
			e.damaged++
		case r.ledger.see(&c.view, n):
			if e.latency != nil && int(n) < len(e.sentAt[number]) {
				e.latency.Add(e.now - e.sentAt[number][n])
			}
			if e.plan.Ack == AckEcho && int(r.ledger.from[n]) == c.index {
				e.allow(c)
			}
		}
		payload = rest
	}
}

// allow lets c send one more message.
func (e *engine) allow(c *client) {
	if e.paused {
		return
	}
	c.owes++
	e.mark(c)
}

func (e *engine) mark(c *client) {
	if !c.due {
		c.due = true
		e.due = append(e.due, c)
	}
}

// sendDue sends the messages that connections may send, with one system call for each connection.
func (e *engine) sendDue() {
	for _, c := range e.due {
		c.due = false
		if c.gone {
			continue
		}
		for ; c.owes > 0; c.owes-- {
			e.say(c, c.room.number, c.room.ledger.send(c.index))
		}
		e.flush(c)
	}
	e.due = e.due[:0]
}

// say queues a message of c.
func (e *engine) say(c *client, room uint16, n uint32) {
	c.out = append(c.out, c.script.pre...)
	c.out = wire.AppendText(c.out, room, n)
	c.out = append(c.out, c.script.post...)
	if c.script.end != nil {
		c.out = wire.AppendNumber(c.out, room, n)
		c.out = append(c.out, c.script.end...)
	}
}

func (e *engine) flush(c *client) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return // epoll reports when the socket has room again
		case err != nil:
			e.drop(c)
			return
		}
		c.out = slices.Delete(c.out, 0, n)
	}
}

// tick starts the timer: from now on wait counts one tick for each interval.
func (e *engine) tick(interval time.Duration) (err error) {
	e.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	spec := unix.NsecToTimespec(max(interval.Nanoseconds(), 1))
	if err := unix.TimerfdSettime(e.timer, 0, &unix.ItimerSpec{Interval: spec, Value: spec}, nil); err != nil {
		return fmt.Errorf("timerfd: %w", err)
	}
	return unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, e.timer, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(e.timer)})
}

func (e *engine) untick() {
	_ = unix.Close(e.timer)
	e.timer = -1
}

// ticks returns how often the timer has expired since the last call.
func (e *engine) ticks() int {
	var b [8]byte
	if n, err := unix.Read(e.timer, b[:]); err != nil || n != 8 {
		return 0
	}
	return int(binary.NativeEndian.Uint64(b[:]))
}

// hangUp sends a close frame and closes the connection.
func hangUp(fd int) {
	_, _ = unix.Write(fd, goodbye)
	_ = unix.Close(fd)
}
