package inspect

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
)

// chat writes the trace log of a chat server as the server does, from a seed: always the same bytes.
type chat struct {
	w     *bytes.Buffer
	rng   *rand.Rand
	now   int64 // Unix microseconds
	lines int
	spans int
	conns []*conn
	seq   int
	late  int64 // microseconds that what outlives its parent takes longer
	start map[string]int64
	buf   []byte
}

type conn struct {
	n           int
	id, client  string
	room        string
	trace, span string
}

func newChat(seed uint64) *chat {
	return &chat{w: &bytes.Buffer{}, rng: rand.New(rand.NewPCG(seed, 1)), now: 1635789012345_000, start: map[string]int64{}}
}

func (c *chat) trace() string { return fmt.Sprintf("%016x%016x", c.rng.Uint64(), c.rng.Uint64()|1) }
func (c *chat) span() string  { return fmt.Sprintf("%016x", c.rng.Uint64()|1) }

// pass lets up to max microseconds go by, at least one.
func (c *chat) pass(max int) { c.now += int64(c.rng.IntN(max)) + 1 }

func (c *chat) enter(thread, module, function, args, trace, span, parent string, link *conn) {
	b := append(c.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, c.now/1000, 10)
	b = append(b, `,"event":"ENTER","thread":"`...)
	b = append(append(b, thread...), `","module":"`...)
	b = append(append(b, module...), `","function":"`...)
	b = append(append(b, function...), `","args":`...)
	b = text{raw: []byte(args)}.quote(b)
	b = append(append(b, `,"trace_id":"`...), trace...)
	b = append(append(b, `","span_id":"`...), span...)
	b = append(b, '"')
	if parent != "" {
		b = append(append(append(b, `,"parent_span_id":"`...), parent...), '"')
	}
	if link != nil {
		b = append(append(b, `,"linked_trace_id":"`...), link.trace...)
		b = append(append(b, `","linked_span_id":"`...), link.span...)
		b = append(b, '"')
	}
	c.buf = append(b, "}\n"...)
	c.w.Write(c.buf)
	c.lines++
	c.spans++
	c.start[span] = c.now
}

func (c *chat) exit(thread, module, function, result, trace, span string) {
	c.leave(thread, module, function, result, "", trace, span)
}

// leave writes an EXIT, with an exception when there is one.
func (c *chat) leave(thread, module, function, result, exception, trace, span string) {
	micros := c.now - c.start[span]
	delete(c.start, span)
	b := append(c.buf[:0], `{"timestamp":`...)
	b = strconv.AppendInt(b, c.now/1000, 10)
	b = append(b, `,"event":"EXIT","thread":"`...)
	b = append(append(b, thread...), `","module":"`...)
	b = append(append(b, module...), `","function":"`...)
	b = append(append(b, function...), `","result":`...)
	b = text{raw: []byte(result)}.quote(b)
	if exception != "" {
		b = append(append(b, `,"exception":`...), exception...)
	}
	b = append(b, `,"durationMicros":`...)
	b = strconv.AppendInt(b, micros, 10)
	b = append(b, `,"durationMillis":`...)
	b = strconv.AppendInt(b, micros/1000, 10)
	b = append(append(b, `,"trace_id":"`...), trace...)
	b = append(append(b, `","span_id":"`...), span...)
	c.buf = append(b, "\"}\n"...)
	c.w.Write(c.buf)
	c.lines++
}

func (k *conn) args(more string) string {
	return fmt.Sprintf(`{"connection_id":"%s","room_id":"%s","client_id":"%s"%s}`, k.id, k.room, k.client, more)
}

func (k *conn) thread() string { return fmt.Sprintf("conn-%d", k.n) }

// connect opens a connection; its join goes on after the upgrade was answered.
func (c *chat) connect(room, client string) *conn {
	n := len(c.conns) + 1
	k := &conn{n: n, id: fmt.Sprintf("3f9a2b-%d", n), client: client, room: room, trace: c.trace(), span: c.span()}
	c.conns = append(c.conns, k)
	join := c.span()
	c.enter(k.thread(), "web", "connect", k.args(`,"transport":"websocket"`), k.trace, k.span, "", nil)
	c.pass(200)
	c.enter(k.thread(), "rooms", "join", k.args(""), k.trace, join, k.span, k)
	c.pass(150)
	c.exit(k.thread(), "web", "connect", `{"status":101}`, k.trace, k.span)
	c.pass(400)
	c.now += c.late
	c.exit(k.thread(), "rooms", "join", fmt.Sprintf(`{"history":%d,"participant_count":%d}`, min(c.seq, 100), n), k.trace, join)
	return k
}

// say sends a message. A caller is the span of the client's that it was sent in; ms is how long the store takes;
// failure, if not empty, is what the store says.
func (c *chat) say(k *conn, caller string, ms int, failure string) {
	trace, recv, app, cast, relay, deliver := c.trace(), c.span(), c.span(), c.span(), c.span(), c.span()
	th := k.thread()
	size := 20 + c.rng.IntN(60)
	c.enter(th, "rooms", "receive", k.args(fmt.Sprintf(`,"text_length":%d`, size)), trace, recv, caller, k)
	c.pass(80)
	c.enter(th, "store", "append", k.args(fmt.Sprintf(`,"text_length":%d`, size)), trace, app, recv, k)
	c.pass(300)
	c.now += int64(ms) * 1000
	if failure != "" {
		ex := `{"type":"*sqlite.Error","message":"` + failure + `"}`
		c.leave(th, "store", "append", failure, ex, trace, app)
		c.pass(30)
		ex = `{"type":"rooms.Unavailable","message":"append: ` + failure + `"}`
		c.leave(th, "rooms", "receive", "append: "+failure, ex, trace, recv)
		return
	}
	c.seq++
	c.exit(th, "store", "append", fmt.Sprintf(`{"seq":%d,"message_id":"0192f0c1-%04x-7000-8000-%012x"}`, c.seq, c.seq&0xffff, c.seq), trace, app)
	c.pass(40)
	c.enter(th, "rooms", "broadcast", k.args(fmt.Sprintf(`,"seq":%d`, c.seq)), trace, cast, recv, k)
	c.pass(60)
	c.enter(th, "relay", "relay", k.args(fmt.Sprintf(`,"seq":%d`, c.seq)), trace, relay, cast, nil)
	c.pass(60)
	c.exit(th, "rooms", "broadcast", fmt.Sprintf(`{"recipients":%d}`, len(c.conns)), trace, cast)
	c.pass(30)
	c.exit(th, "rooms", "receive", fmt.Sprintf(`{"seq":%d}`, c.seq), trace, recv)
	c.pass(40)
	c.enter(th, "rooms", "deliver", k.args(fmt.Sprintf(`,"seq":%d`, c.seq)), trace, deliver, relay, nil)
	c.pass(50)
	c.now += c.late
	c.exit(th, "relay", "relay", `{}`, trace, relay)
	c.pass(700)
	c.now += c.late
	c.exit(th, "rooms", "deliver", fmt.Sprintf(`{"recipients":%d,"dropped":0,"slowest":"3f9a2b-1"}`, len(c.conns)), trace, deliver)
}

// hangUp ends a connection, code being the WebSocket close code.
func (c *chat) hangUp(k *conn, code int) {
	trace, dis := c.trace(), c.span()
	c.enter(k.thread(), "web", "disconnect", k.args(fmt.Sprintf(`,"close_code":%d`, code)), trace, dis, "", k)
	c.pass(60)
	c.exit(k.thread(), "web", "disconnect", `{"received":2,"sent":5}`, trace, dis)
	c.pass(100)
	trace, leave := c.trace(), c.span()
	c.enter(k.thread(), "rooms", "leave", k.args(""), trace, leave, "", k)
	c.pass(90)
	c.exit(k.thread(), "rooms", "leave", `{"participant_count":1}`, trace, leave)
}

// rest is a REST call.
func (c *chat) rest(call, args, result string) {
	trace, span := c.trace(), c.span()
	c.enter("http", "http", call, args, trace, span, "", nil)
	c.pass(900)
	c.exit("http", "http", call, result, trace, span)
}

// small is the chat session that the golden files show: two people, a slow store, a failing one, a client with a trace of
// its own, and a message that is still being delivered when the log ends.
func small() []byte {
	c := newChat(7)
	c.rest("GET /rooms", `{}`, `{"status":200,"count":3}`)
	c.now += 40_000
	ann := c.connect("general", "ann")
	c.now += 1_200_000
	bob := c.connect("general", "bob")
	c.now += 3_000_000
	c.say(ann, "", 0, "")
	c.now += 1_500_000
	c.say(bob, "00f067aa0ba902b7", 23, "")
	c.now += 900_000
	c.say(ann, "", 1, `database \"chat\" is locked`)
	c.now += 2_500_000
	c.hangUp(bob, 1001)
	c.now += 4_000_000
	c.say(ann, "", 0, "")
	b := c.w.Bytes()
	return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] // without deliver's EXIT
}

// sound is the same session to its end.
func sound() []byte {
	c := newChat(7)
	ann := c.connect("general", "ann")
	bob := c.connect("general", "bob")
	for range 20 {
		c.say(ann, "", 0, "")
		c.say(bob, "00f067aa0ba902b7", 1, "")
	}
	c.say(bob, "", 0, "disk full")
	c.hangUp(ann, 1000)
	c.hangUp(bob, 4008)
	return c.w.Bytes()
}

// endless is a reader of n bytes, or somewhat more, of a busy server's log, made as it is read.
type endless struct {
	c    *chat
	left int64
	tick func() // called for every MiB or so
	made int64
}

func newEndless(n int64) *endless {
	e := &endless{c: newChat(11), left: n, tick: func() {}}
	for i := range 50 {
		e.c.connect([]string{"general", "go", "random"}[i%3], fmt.Sprintf("user%d", i))
	}
	return e
}

func (e *endless) Read(p []byte) (int, error) {
	for e.c.w.Len() < len(p) && e.left > int64(e.c.w.Len()) {
		k := e.c.conns[e.c.rng.IntN(len(e.c.conns))]
		failure := ""
		if e.c.rng.IntN(500) == 0 {
			failure = "disk full"
		}
		slow := 0
		if e.c.rng.IntN(100) == 0 {
			slow = 15
		}
		e.c.say(k, "", slow, failure)
	}
	n, err := e.c.w.Read(p)
	if err == io.EOF && e.left > 0 {
		err = nil
	}
	if e.left -= int64(n); e.left <= 0 {
		err = io.EOF
	}
	if e.made += int64(n); e.made > 1<<20 {
		e.made = 0
		e.tick()
	}
	return n, err
}
