package main

import (
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/app/apptest"
)

func TestFiftyClientsGetEveryMessageOnceAndInOrder(t *testing.T) {
	const clients, each = 50, 40
	p := apptest.Start(t, apptest.Options{})
	crowd := make([]*apptest.Client, clients)
	for i := range crowd {
		crowd[i] = p.Join(t, "crowd", fmt.Sprint("client", i))
	}
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for i, c := range crowd {
		wg.Go(func() {
			for n := range each {
				if err := c.Write(apptest.Message{Type: "message", Text: fmt.Sprint(n), Ref: strconv.Itoa(n)}); err != nil {
					errs <- err
					return
				}
				if n == each/2 && i%10 == 0 { // and some read the history again
					if err := lookAgain(p, fmt.Sprint("late", i), clients*each); err != nil {
						errs <- err
					}
				}
			}
			errs <- c.Wait(func(frames []apptest.Frame) bool {
				return lastSeq(frames) == clients*each
			})
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	first := crowd[0].Messages()
	for _, c := range crowd {
		messages := c.Messages()
		require.Len(t, messages, clients*each)
		said := map[string]int{}
		for i, m := range messages {
			ref := ""
			if m.ClientID == c.Client {
				ref = m.Text
			}
			// One client's messages keep their order. (Plain conditions, because there are a hundred thousand.)
			if m.Seq != int64(i+1) || m.ID != first[i].ID || m.Text != strconv.Itoa(said[m.ClientID]) || m.Ref != ref {
				t.Fatalf("%s was shown %+v as message %d", c.Client, m, i+1)
			}
			said[m.ClientID]++
		}
	}
	m := p.Metrics(t)
	require.EqualValues(t, clients*each, m[`traceroom_messages_total{transport="websocket"}`])
	require.Zero(t, m[`traceroom_dropped_total{reason="slow"}`])
	require.Less(t, m[`traceroom_store_batch_size_count`], float64(clients*each), "messages that arrive together share a transaction")
}

// tally counts frames as they arrive, each once.
type tally struct{ at, messages, own int }

// of adds the new frames.
func (y *tally) of(frames []apptest.Frame) *tally {
	for ; y.at < len(frames); y.at++ {
		if f := &frames[y.at]; f.Type == "message" {
			y.messages++
			if f.Ref != "" {
				y.own++
			}
		}
	}
	return y
}

// lookAgain joins a room while messages are sent, and checks that live messages follow on history.
func lookAgain(p *apptest.Program, client string, last int64) error {
	c, err := p.Open(apptest.Dial{Room: "crowd", Client: client})
	if err != nil {
		return err
	}
	defer c.Drop()
	var seen tally
	if err := c.Wait(func(frames []apptest.Frame) bool { return seen.of(frames).messages > 20 || lastSeq(frames) == last }); err != nil {
		return err
	}
	messages := c.Messages()
	for i := range messages {
		if messages[i].Seq != messages[0].Seq+int64(i) {
			return fmt.Errorf("%s was shown message %d behind %d", client, messages[i].Seq, messages[i-1].Seq)
		}
	}
	return nil
}

// lastSeq returns the number of the newest message among frames.
func lastSeq(frames []apptest.Frame) int64 {
	for i := len(frames) - 1; i >= 0; i-- {
		if messages := apptest.Messages(frames[i : i+1]); len(messages) > 0 {
			return messages[len(messages)-1].Seq
		}
	}
	return 0
}

// reader is a client that resumes with since whenever its connection ends, and keeps all messages.
type reader struct {
	name  string
	shown []apptest.Frame
}

// connect connects, sends for as long as it can, and records what it receives. It returns when the connection has ended.
func (r *reader) connect(p *apptest.Program, sending func(c *apptest.Client)) error {
	d := apptest.Dial{Room: "crowd", Client: r.name, Query: url.Values{"since": {"0"}}}
	if n := len(r.shown); n > 0 {
		d.Query.Set("since", fmt.Sprint(r.shown[n-1].Seq))
	}
	c, err := p.Open(d)
	if err != nil {
		return err
	}
	defer func() {
		c.Drop()
		r.shown = append(r.shown, c.Messages()...)
	}()
	sending(c)
	return nil
}

func TestAfterAKillEverythingThatAnyoneWasShownIsThere(t *testing.T) {
	const clients, rounds, perRound = 20, 3, 400
	p := apptest.Start(t, apptest.Options{})
	crowd := make([]*reader, clients)
	for i := range crowd {
		crowd[i] = &reader{name: fmt.Sprint("client", i)}
	}
	for round := range rounds {
		killed := make(chan struct{})
		enough := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		errs := make(chan error, clients)
		var joining sync.WaitGroup
		joining.Add(clients)
		for i, r := range crowd {
			wg.Go(func() {
				errs <- r.connect(p, func(c *apptest.Client) {
					// Nobody sends before all have received what they missed: that would soon be more than a resuming client
					// gets.
					err := c.Joined()
					joining.Done()
					if joining.Wait(); err != nil {
						<-killed
						return
					}
					var seen tally
					for n := 0; ; n++ {
						if c.Write(apptest.Message{Type: "message", Text: fmt.Sprintf("%d-%d-%d", round, i, n), Ref: fmt.Sprintf("%d-%d", round, n)}) != nil {
							<-killed
							return
						}
						// Only a few messages are unacknowledged at a time, so that the kill comes in the middle of sending.
						if n%8 == 7 && c.Wait(func(frames []apptest.Frame) bool {
							if seen.of(frames).messages >= perRound {
								once.Do(func() { close(enough) })
							}
							return seen.own >= n
						}) != nil {
							<-killed
							return
						}
					}
				})
			})
		}
		<-enough
		p.Kill(t)
		close(killed)
		wg.Wait()
		for range clients {
			require.NoError(t, <-errs)
		}
		p.Restart(t)
	}
	// Each resumes once more and receives what it missed.
	var last apptest.Frame
	speaker := p.Join(t, "crowd", "speaker")
	speaker.Say(t, "the end")
	_, last = speaker.UntilText(t, "the end")
	for _, r := range crowd {
		require.NoError(t, r.connect(p, func(c *apptest.Client) {
			require.NoError(t, c.Wait(func(frames []apptest.Frame) bool { return lastSeq(frames) == last.Seq }))
		}))
	}
	// What each received in all its connections is the history: every message once, in order, with numbers that continue across
	// every kill.
	var history []apptest.Frame
	for int64(len(history)) < last.Seq {
		var page struct{ Messages []apptest.Frame }
		p.Get(t, fmt.Sprintf("/rooms/crowd/messages?limit=1000&since=%d", len(history))).JSON(t, &page)
		require.NotEmpty(t, page.Messages)
		history = append(history, page.Messages...)
	}
	require.Greater(t, len(history), rounds*perRound)
	ids := map[string]bool{}
	for i, m := range history {
		require.EqualValues(t, i+1, m.Seq)
		require.False(t, ids[m.ID], "an id twice")
		ids[m.ID] = true
	}
	for _, r := range crowd {
		for i, m := range r.shown[1:] { // as text: the messages themselves would be too long to read
			require.EqualValues(t, r.shown[i].Seq+1, m.Seq, "what %s was shown next", r.name)
		}
		require.Equal(t, len(history), len(r.shown))
		for i, m := range r.shown {
			if h := history[i]; h.ID != m.ID || h.Text != m.Text || h.Seq != m.Seq {
				t.Fatalf("%s was shown %+v, and the history has %+v", r.name, m, h)
			}
		}
	}
}
