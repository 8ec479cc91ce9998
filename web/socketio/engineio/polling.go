package engineio

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/traceroom/traceroom/web/ws"
)

// probePace is how long a poll waits for the upgrade to be complete, if it comes while the client probes a WebSocket. It keeps
// clients that go on polling meanwhile from polling as fast as they can.
const probePace = 100 * time.Millisecond

// lateGrace is how long after a client has closed its session one more poll is answered, which it may have sent together with
// the close packet. maxLate is for how many clients that is done at once.
const (
	lateGrace = 100 * time.Millisecond
	maxLate   = 1024
)

// polling is the long-polling transport of a session. The session's mu guards all of it. After an upgrade the session has
// none; requests that are still being served keep using it.
type polling struct {
	items    []Item        // what waits, in order
	sent     int           // how many bytes of the first item have gone into earlier answers
	weight   int           // of the items, and of those that are being written
	bytes    int           // likewise
	wake     chan struct{} // wakes the poll that waits; nil: none does
	posting  bool          // a POST is being read
	offers   int           // how many WebSockets the client is about to be told of
	noop     bool          // the client wants to upgrade: answer polls that wait
	bye      bool          // the session is closing: answer Close when nothing waits any more
	last     Type          // not 0: the transport has ended, and this answers polls
	upgraded bool          // it has ended because the session has another one
	late     bool          // one more poll is answered, with last
}

func (p *polling) push(it Item, limits *ws.Limits) bool {
	n, size := ws.Weigh(it)
	if !limits.Fit(p.weight, p.bytes, n, size) {
		return false
	}
	p.items = append(p.items, it)
	p.weight += n
	p.bytes += size
	p.signal()
	return true
}

// signal makes the poll that waits look again.
func (p *polling) signal() {
	if p.wake == nil {
		return
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// drop takes out all that waits and returns it.
func (p *polling) drop() []Item {
	dropped := p.items
	p.items = nil
	return dropped
}

// answer returns what a poll can be answered with now, or nil, and the items that are thereby sent in full. gone says that
// nothing more waits in a closing session. The close packet is an answer of its own: stock clients would handle it before the
// messages that came together with it.
func (p *polling) answer() (body []byte, done []Item, gone bool) {
	if p.last != 0 {
		return []byte{byte(p.last)}, nil, false
	}
	packets := 0
	for len(p.items) > 0 && packets < maxPollPackets && len(body) < maxPollBytes {
		it := p.items[0]
		all := it.Bytes()
		f, rest, ok := nextFrame(all[p.sent:])
		if !ok {
			f, rest = ws.Frame{Op: ws.Text, Payload: []byte{byte(Noop)}}, nil // what the owner pushed is not a frame
		}
		body = appendFramePacket(body, f)
		packets++
		p.sent = len(all) - len(rest)
		if len(rest) == 0 {
			done = append(done, it)
			p.items[0] = nil
			p.items = p.items[1:]
			p.sent = 0
		}
	}
	if len(p.items) == 0 {
		p.items = nil
	}
	if packets == 0 && p.bye {
		return []byte{byte(Close)}, nil, true
	}
	return body, done, false
}

// remaining is the rest of an item whose beginning a polling client has been sent.
type remaining struct {
	Item
	sent int
}

func (r remaining) Bytes() []byte { return r.Item.Bytes()[r.sent:] }

// rest takes out all that waits and returns it, for another transport to send.
func (p *polling) rest() []Item {
	items := p.drop()
	if p.sent > 0 {
		items[0] = remaining{items[0], p.sent}
		p.sent = 0
	}
	return items
}

// servePoll answers a GET of the session, when there is something to answer.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.poll
	if p != nil && p.late {
		p.late = false
		s.mu.Unlock()
		s.server.forgetLate(s)
		_ = answer(w, plainText, []byte{byte(p.last)}) // a client that does not get it has closed the session anyway
		return
	}
	if p == nil || p.last != 0 {
		s.mu.Unlock()
		refuse(w, badRequest)
		return
	}
	if p.wake != nil {
		s.mu.Unlock()
		s.end(ending{reason: TransportError, err: ErrOverlap})
		refuse(w, badRequest)
		return
	}
	p.wake = make(chan struct{}, 1)
	body, done, gone, ok := s.await(r.Context(), p, s.probe != nil || p.offers > 0)
	// From here on the client may get the answer and poll again.
	p.wake = nil
	if !ok {
		p.last = Close // no other poll may come between this and the end
	}
	s.mu.Unlock()
	if !ok {
		s.end(ending{reason: TransportError, err: ErrAborted, only: p})
		return
	}
	if body == nil {
		refuse(w, badRequest)
		return
	}
	if gone {
		s.gone()
	}
	// The deadline that the HTTP server may have set for ordinary answers may have passed.
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.server.opts.PingTimeout))
	err := answer(w, plainText, body)
	if ferr := rc.Flush(); err == nil && !errors.Is(ferr, http.ErrNotSupported) {
		err = ferr
	}
	_ = rc.SetWriteDeadline(time.Time{})

	weight, bytes := 0, 0
	for _, it := range done {
		n, size := ws.Weigh(it)
		weight += n
		bytes += size
		it.Done(s.connID, err == nil)
	}
	s.mu.Lock()
	p.weight -= weight
	p.bytes -= bytes
	s.mu.Unlock()
	if err != nil {
		e := ending{reason: TransportError, err: err}
		if string(body) == string(Noop) {
			e.only = p // if the client has upgraded, nothing is lost
		}
		s.end(e)
	}
}

// await waits for something to answer the poll of p with, and returns what answer does. probing says that the poll came while
// the client probed a WebSocket. body is nil if the poll must be refused, as the upgrade was completed while it waited. ok is
// false if the client gave up the request while it waited and the transport has not ended anyway. mu is held when await is
// called and when it returns.
func (s *Session) await(ctx context.Context, p *polling, probing bool) (body []byte, done []Item, gone, ok bool) {
	var pace <-chan time.Time // nil: the poll has waited for the upgrade, or does not have to
	if probing {
		t := time.NewTimer(probePace)
		defer t.Stop()
		pace = t.C
	}
	for {
		if p.upgraded && probing {
			return nil, nil, false, true
		}
		if body, done, gone = p.answer(); body != nil {
			return body, done, gone, true
		}
		if p.noop && pace == nil {
			return []byte{byte(Noop)}, nil, false, true
		}
		wake := p.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-pace:
			pace = nil
		case <-ctx.Done():
			s.mu.Lock()
			if p.last == 0 {
				return nil, nil, false, false
			}
			continue
		}
		s.mu.Lock()
	}
}

// bodies are buffers for the bodies of POSTs while they are read and handled. maxBody is how many bytes the largest has that is
// kept for the next.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxBody = 64 << 10

// servePost handles the packets in a POST of the session.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	p := s.poll
	overlap := p != nil && p.posting
	if p == nil || p.last != 0 || overlap {
		s.mu.Unlock()
		if overlap {
			s.end(ending{reason: TransportError, err: ErrOverlap})
		}
		refuse(w, badRequest)
		return
	}
	p.posting = true
	s.mu.Unlock()
	done := func() {
		s.mu.Lock()
		p.posting = false
		s.mu.Unlock()
	}

	if r.ContentLength > s.server.opts.MaxPayload {
		done()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxBody {
			buf.Reset()
			bodies.Put(buf)
		}
	}()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.server.opts.PingTimeout))
	body := http.MaxBytesReader(w, r.Body, s.server.opts.MaxPayload)
	_, err := buf.ReadFrom(body)
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		done()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		s.end(ending{reason: TransportError, err: errors.Join(ErrAborted, err)})
		refuse(w, badRequest)
		return
	}
	if !utf8.Valid(buf.Bytes()) {
		s.malformed(ErrNotUTF8)
		refuse(w, badRequest)
		return
	}
	for packet, err := range Packets(buf.Bytes()) {
		if err != nil {
			s.malformed(err)
			refuse(w, badRequest)
			return
		}
		s.receive(packet)
	}
	done()
	// The reference server answers text/html, as some browsers offered to save text/plain.
	_ = answer(w, "text/html", []byte("ok"))
}

const plainText = "text/plain; charset=UTF-8"

// answer writes a whole response.
func answer(w http.ResponseWriter, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	_, err := w.Write(body)
	return err
}
