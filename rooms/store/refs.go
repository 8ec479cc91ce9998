package store

import "github.com/traceroom/traceroom/rooms"

// refKey is what a message is remembered by.
type refKey struct{ room, client, ref string }

// repeat is a draft that is not stored, and the message that is there already, or is about to be.
type repeat struct {
	draft *rooms.Draft
	first *rooms.Message
}

// findRepeats marks the drafts that are repetitions: of what is known to be stored, or of a draft before them. It returns
// how many of the calls' drafts are left.
func findRepeats(calls []*call, known map[refKey]*rooms.Message) (left int) {
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

// refKeys are the keys of the calls' drafts.
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

// begin makes the call's drafts new ones.
func (c *call) begin() {
	c.repeats = nil
	for i := range c.drafts {
		c.drafts[i].Repeated = false
	}
}

// finish gives the call's repetitions the messages that they repeat: what is to be stored has been.
func (c *call) finish() {
	for _, r := range c.repeats {
		text := r.draft.Message.Text
		*r.draft.Message = *r.first
		if r.draft.Message.Text == "" { // deleted since
			r.draft.Message.Text = text
		}
	}
}

// left is how many of the call's drafts are stored.
func (c *call) left() int { return len(c.drafts) - len(c.repeats) }
