package store

import "github.com/traceroom/traceroom/rooms"

// refKey is what a message is remembered by.
type refKey struct{ room, client, ref string }

// repeat is a draft that is not stored, and the message that it repeats, which is stored already or comes before it.
type repeat struct {
	draft *rooms.Draft
	first *rooms.Message
}

// markRepeats marks the drafts of the calls that are repetitions: of a known message, which is stored, or of a draft before them. It
// returns how many of the calls' drafts are to be stored.
func markRepeats(calls []*call, known map[refKey]*rooms.Message) (left int) {
	first := make(map[refKey]*rooms.Message)
	for _, c := range calls {
		if c.err != nil {
			continue
		}
		c.repeats = nil
		for i := range c.drafts {
			d := &c.drafts[i]
			d.Repeated = false
			if d.Ref != "" {
				key := refKey{c.roomID, d.Message.ClientID, d.Ref}
				m := known[key]
				if m == nil {
					m = first[key]
				}
				if m != nil {
					d.Repeated = true
					c.repeats = append(c.repeats, repeat{d, m})
					continue
				}
				first[key] = d.Message
			}
			left++
		}
	}
	return left
}

// refKeys returns the keys of the calls' drafts that have a ref.
func refKeys(calls []*call) []refKey {
	var keys []refKey
	for _, c := range calls {
		if c.err != nil {
			continue
		}
		for _, d := range c.drafts {
			if d.Ref != "" {
				keys = append(keys, refKey{c.roomID, d.Message.ClientID, d.Ref})
			}
		}
	}
	return keys
}

// reset makes all drafts of the call new ones, until it is known better.
func (c *call) reset() {
	c.repeats = nil
	for i := range c.drafts {
		c.drafts[i].Repeated = false
	}
}

// copyFirsts copies to the call's repetitions the messages that they repeat. It is called when those have been stored.
func (c *call) copyFirsts() {
	for _, r := range c.repeats {
		text := r.draft.Message.Text
		*r.draft.Message = *r.first
		if r.draft.Message.Text == "" { // deleted since
			r.draft.Message.Text = text
		}
	}
}

// left returns how many of the call's drafts are not repetitions.
func (c *call) left() int { return len(c.drafts) - len(c.repeats) }
