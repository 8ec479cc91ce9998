package engineio_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/socketio/engineio"
)

const sep = "\x1e"

func TestPollingEchoesPayloads(t *testing.T) {
	h := serve(t, calm())
	for _, payload := range []string{
		"4hello",
		"4test1" + sep + "4test2" + sep + "4test3",
		"4hello" + sep + "bAQIDBA==",
		"4",
		"b",
		"4€ und ü" + sep + "4{\"a\":\"<&>\u2028\"}",
	} {
		c := h.poll()
		r := c.post(payload)
		require.Equal(t, 200, r.status)
		require.Equal(t, "ok", r.body)
		require.Equal(t, "text/html", r.header.Get("Content-Type"))
		r = c.get()
		require.Equal(t, 200, r.status)
		require.Equal(t, payload, r.body)
		require.Equal(t, "text/plain; charset=UTF-8", r.header.Get("Content-Type"))
	}
}

func TestBase64WithoutPaddingIsUnderstood(t *testing.T) {
	c := serve(t, calm()).poll()
	require.Equal(t, "ok", c.post("bAQIDBA").body)
	require.Equal(t, "bAQIDBA==", c.get().body)
}

func TestAPollWaitsForSomethingToSay(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	answer := c.getLater()
	c.waitPolling(answer)
	require.True(t, h.session(0).Send([]byte("now")))
	require.Equal(t, "4now", h.wait(answer).body)
}

func TestMalformedPostsEndTheOneSession(t *testing.T) {
	h := serve(t, calm())
	other := h.poll()
	for _, payload := range []string{"", "abc", "7", "b!", "bA", "4ok" + sep, sep, "4ok" + sep + "x", "4\xff"} {
		c := h.poll()
		r := c.post(payload)
		require.Equal(t, 400, r.status, "%q", payload)
		require.JSONEq(t, refusal(3, "Bad request"), r.body)
		e := h.end()
		require.Equal(t, c.sid, e.id)
		require.Equal(t, engineio.ParseError, e.reason)
		require.Error(t, e.err)
		require.JSONEq(t, refusal(1, "Session ID unknown"), c.get().body)
	}
	require.Equal(t, "ok", other.post("4here").body)
	require.Equal(t, "4here", other.get().body)
}

func TestPacketsBeforeAMalformedOneCount(t *testing.T) {
	h := serve(t, calm())
	h.poll().post("4first" + sep + "x" + sep + "4last")
	h.end()
	require.Equal(t, "first", <-h.got)
	require.Empty(t, h.got)
}

func TestAPingFromTheClientEndsTheSession(t *testing.T) {
	h := serve(t, calm())
	h.poll().post("2")
	e := h.end()
	require.Equal(t, engineio.TransportError, e.reason)
	require.ErrorIs(t, e.err, engineio.ErrHeartbeat)
}

func TestOverlappingPollsEndTheSession(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	// Which of the two comes first is the network's to say.
	a, b := c.getLater(), c.getLater()
	first, second := h.wait(a), h.wait(b)
	if first.status != 200 {
		first, second = second, first
	}
	require.Equal(t, 200, first.status)
	require.Equal(t, "1", first.body)
	require.Equal(t, 400, second.status)
	require.JSONEq(t, refusal(3, "Bad request"), second.body)
	e := h.end()
	require.Equal(t, engineio.TransportError, e.reason)
	require.ErrorIs(t, e.err, engineio.ErrOverlap)
	require.JSONEq(t, refusal(1, "Session ID unknown"), c.get().body)
}

func TestOverlappingPostsEndTheSession(t *testing.T) {
	h := serve(t, calm())
	h.block = make(chan struct{})
	c := h.poll()
	first := c.later("POST", "4x")
	require.Eventually(t, func() bool { return len(h.blocked) == 1 }, patience, time.Millisecond)
	second := c.post("3")
	require.Equal(t, 400, second.status)
	require.JSONEq(t, refusal(3, "Bad request"), second.body)
	close(h.block)
	require.Equal(t, "ok", h.wait(first).body)
	e := h.end()
	require.Equal(t, engineio.TransportError, e.reason)
	require.ErrorIs(t, e.err, engineio.ErrOverlap)
}

func TestGivingUpAPollEndsTheSession(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = c.try(ctx, "GET", c.query(), "")
	}()
	time.AfterFunc(50*time.Millisecond, cancel)
	<-gone
	e := h.end()
	require.Equal(t, engineio.TransportError, e.reason)
	require.ErrorIs(t, e.err, engineio.ErrAborted)
	require.JSONEq(t, refusal(1, "Session ID unknown"), c.get().body)
}

func TestAPostOfOverTheLimitIsTooLarge(t *testing.T) {
	opts := calm()
	opts.MaxPayload = 1000
	h := serve(t, opts)
	c := h.poll()
	require.Equal(t, 413, c.post("4"+strings.Repeat("x", 1000)).status)
	// Without a Content-Length the server has to count.
	req, err := http.NewRequest("POST", h.url(c.query()), struct{ *strings.Reader }{strings.NewReader("4" + strings.Repeat("x", 1000))})
	require.NoError(t, err)
	req.ContentLength = -1
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 413, resp.StatusCode)
	// The session lives, and the limit itself is allowed.
	require.Equal(t, "ok", c.post("4"+strings.Repeat("x", 999)).body)
	require.Len(t, c.get().body, 1000)
}

func TestClosingByTheClientSendsItsPollHome(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	answer := c.getLater()
	c.waitPolling(answer)
	require.Equal(t, "ok", c.post("1"+sep+"4ignored").body)
	require.Equal(t, "6", h.wait(answer).body)
	require.Equal(t, engineio.TransportClose, h.end().reason)
	require.Equal(t, 400, c.get().status)
	require.Empty(t, h.got)
}

// waitPolling waits until a poll of the client's waits.
func (c client) waitPolling(answer <-chan reply) {
	c.t.Helper()
	require.Eventually(c.t, c.byID(c.sid).PollWaits, patience, time.Millisecond)
	select {
	case r := <-answer:
		require.FailNow(c.t, "the poll did not wait", r.body)
	default:
	}
}

func TestNoPollIsAnsweredWithMoreThanSixteenPackets(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := h.session(0)
	it := &item{p: nil}
	for i := range 20 {
		it.p = engineio.AppendMessage(it.p, []byte{byte('a' + i)})
	}
	require.True(t, s.Push(it))
	require.True(t, s.SendBinary([]byte{1, 2, 3}))
	require.True(t, s.Send([]byte("end")))
	first := strings.Split(c.get().body, sep)
	require.Len(t, first, 16)
	require.Equal(t, "4a", first[0])
	require.Zero(t, it.written.Load(), "said to be written when a part of it was")
	second := strings.Split(c.get().body, sep)
	require.Equal(t, []string{"4q", "4r", "4s", "4t", "bAQID", "4end"}, second)
	require.Eventually(t, func() bool { return it.written.Load() == 1 }, patience, time.Millisecond)
}

func TestFramesOfAllLengthsAreUnpacked(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	for _, n := range []int{0, 1, 124, 125, 126, 65534, 65535, 65536, 200_000} {
		text := strings.Repeat("x", n)
		require.True(t, h.session(0).Send([]byte(text)))
		require.Equal(t, "4"+text, c.get().body)
	}
}

func TestAPollingClientsQueueIsBounded(t *testing.T) {
	opts := calm()
	opts.QueueLimit = 10
	h := serve(t, opts)
	c := h.poll()
	s := h.session(0)
	for i := range 10 {
		require.True(t, s.Send(nil), i)
	}
	require.False(t, s.Send(nil))
	require.Len(t, strings.Split(c.get().body, sep), 10)
	require.Eventually(t, func() bool { return s.Send(nil) }, patience, time.Millisecond)
}

func TestAPollingClientsQueueIsBoundedInBytes(t *testing.T) {
	opts := calm()
	opts.QueueBytes = 100_000
	h := serve(t, opts)
	c := h.poll()
	s := h.session(0)
	big, half := make([]byte, 200_000), make([]byte, 49_000)
	for i := range big {
		big[i] = 'x'
	}
	copy(half, big)
	require.True(t, s.Send(big), "an item heavier than all fits an empty queue")
	require.False(t, s.Send(nil))
	require.Len(t, c.get().body, len(big)+1)
	require.Eventually(t, func() bool { return s.Send(half) }, patience, time.Millisecond)
	require.True(t, s.Send(half))
	require.False(t, s.Send(half))
	require.Len(t, c.get().body, 2*(len(half)+1)+1)
	for range 2 {
		require.Eventually(t, func() bool { return s.Send(half) }, patience, time.Millisecond)
	}
}

func TestAPollIsAnsweredWithFewBytes(t *testing.T) {
	opts := calm()
	h := serve(t, opts)
	c := h.poll()
	text := strings.Repeat("x", 30_000)
	for range 6 {
		require.True(t, h.session(0).Send([]byte(text)))
	}
	for range 2 {
		require.Equal(t, strings.Join([]string{"4" + text, "4" + text, "4" + text}, sep), c.get().body)
	}
}

// item counts what became of it.
type item struct {
	p             []byte
	n             int
	written, lost atomic.Int32
	ids           chan string
}

func (i *item) Bytes() []byte { return i.p }
func (i *item) Len() int      { return max(1, i.n) }
func (i *item) Late(string)   {}
func (i *item) Done(id string, written bool) {
	if written {
		i.written.Add(1)
	} else {
		i.lost.Add(1)
	}
	if i.ids != nil {
		i.ids <- id
	}
}

var _ engineio.Item = (*item)(nil)

func TestEachItemIsToldOnceWhatBecameOfIt(t *testing.T) {
	opts := calm()
	opts.Open = func(*http.Request) engineio.Opening { return engineio.Opening{ConnID: "c1"} }
	h := serve(t, opts)
	c := h.poll()
	s := h.session(0)
	sent := &item{p: engineio.AppendMessage(nil, []byte("a")), ids: make(chan string, 1)}
	lost := &item{p: engineio.AppendMessage(nil, []byte("b")), ids: make(chan string, 1)}
	require.True(t, s.Push(sent))
	require.Equal(t, "4a", c.get().body)
	require.Equal(t, "c1", <-sent.ids)
	require.True(t, s.Push(lost))
	s.Abort("too slow", nil)
	require.Equal(t, "c1", <-lost.ids)
	require.EqualValues(t, 1, sent.written.Load())
	require.EqualValues(t, 1, lost.lost.Load())
	require.False(t, s.Push(lost))
	require.Equal(t, engineio.Reason("too slow"), h.end().reason)
}

func TestCloseLetsAPollingClientHaveWhatWaits(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	s := h.session(0)
	for range 20 {
		require.True(t, s.Send([]byte("x")))
	}
	s.Close(engineio.ForcedClose)
	require.Equal(t, engineio.ForcedClose, h.end().reason)
	require.False(t, s.Send(nil))
	require.Len(t, strings.Split(c.get().body, sep), 16)
	require.Equal(t, "4x"+sep+"4x"+sep+"4x"+sep+"4x", c.get().body)
	require.Equal(t, "1", c.get().body)
	require.Equal(t, 400, c.get().status)
	require.Zero(t, h.eio.Len())
}

func TestCloseAnswersAWaitingPoll(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	answer := c.getLater()
	c.waitPolling(answer)
	h.session(0).Close(engineio.ForcedClose)
	require.Equal(t, "1", h.wait(answer).body)
	require.Equal(t, engineio.ForcedClose, h.end().reason)
}

// A poll may last longer than the times that the HTTP server allows for ordinary requests.
func TestPollsOutlastTheServersTimeouts(t *testing.T) {
	h := serve(t, calm())
	srv := &http.Server{Handler: h.eio, ReadTimeout: time.Second, WriteTimeout: time.Second}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-served })
	h.http.URL = "http://" + l.Addr().String()
	c := h.poll()
	answer := c.getLater()
	time.AfterFunc(1500*time.Millisecond, func() { h.session(0).Send([]byte("late")) })
	require.Equal(t, "4late", h.wait(answer).body)
	require.Equal(t, "ok", c.post("4x").body)
}

func TestAPostThatStallsIsGivenUp(t *testing.T) {
	opts := calm()
	opts.PingTimeout = 100 * time.Millisecond
	h := serve(t, opts)
	c := h.poll()
	nc, err := net.Dial("tcp", strings.TrimPrefix(h.http.URL, "http://"))
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("POST /engine.io/?" + c.query() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4"))
	require.NoError(t, err)
	e := h.end()
	require.Equal(t, engineio.TransportError, e.reason)
	require.ErrorIs(t, e.err, engineio.ErrAborted)
}

// A client that asks to upgrade and then goes on polling is not answered as fast as it can ask.
func TestPollsDuringAnUpgradeAreSlowedDown(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	c.probed()
	for range 3 {
		began := time.Now()
		require.Equal(t, "6", c.get().body)
		require.GreaterOrEqual(t, time.Since(began), 90*time.Millisecond)
	}
	answer := c.getLater()
	require.True(t, h.session(0).Send([]byte("x")))
	require.Contains(t, []string{"4x", "6"}, h.wait(answer).body)
}

// vanishing is a response that cannot be written, which shows when it is cut. began is closed when it is written.
type vanishing struct {
	http.ResponseWriter
	began, cut chan struct{}
}

func (v vanishing) Write([]byte) (int, error) {
	close(v.began)
	<-v.cut
	return 0, net.ErrClosed
}

func (vanishing) SetReadDeadline(time.Time) error  { return nil }
func (vanishing) SetWriteDeadline(time.Time) error { return nil }

func TestWhatIsLostWithAnAnswerIsToldSo(t *testing.T) {
	h := serve(t, calm())
	c := h.poll()
	it := &item{p: engineio.AppendMessage(nil, []byte("x"))}
	require.True(t, h.session(0).Push(it))
	req, err := http.NewRequest("GET", h.url(c.query()), nil)
	require.NoError(t, err)
	cut := make(chan struct{})
	close(cut)
	h.eio.ServeHTTP(vanishing{httptest.NewRecorder(), make(chan struct{}), cut}, req)
	require.EqualValues(t, 1, it.lost.Load())
	require.Equal(t, engineio.TransportError, h.end().reason)
}
