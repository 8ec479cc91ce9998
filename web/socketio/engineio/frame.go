package engineio

import "github.com/traceroom/traceroom/web/ws"

// Item is what can be pushed to a Session, for those who want to know when it has been written: one or more whole WebSocket
// frames, final and not masked, each of which is an Engine.IO packet of text or a binary message. The same Item may be
// pushed to many sessions; its bytes must not change.
type Item interface {
	// Bytes returns the frames. They are sent in full, before anything that is pushed later.
	Bytes() []byte
	// Len is how much of Options.QueueLimit the item takes up. An item of Len 0 always fits and its bytes do not count: whoever
	// pushes such items sees to it that they stay few and short.
	Len() int
	// Done is called once for each Push that returned true: when the bytes have been given to the operating system
	// (written), or when they never will be. connID is that of the session. It is called by a goroutine that writes and must
	// not block.
	Done(connID string, written bool)
	// Late is called at most once for each Push, before Done, if the client does not take the bytes at once.
	Late(connID string)
}

// Frames are an Item of Len 1 that nobody waits for.
type Frames []byte

// Bytes implements Item.
func (f Frames) Bytes() []byte { return f }

// Len implements Item.
func (Frames) Len() int { return 1 }

// Done implements Item.
func (Frames) Done(string, bool) {}

// Late implements Item.
func (Frames) Late(string) {}

// weightless is an Item of Len 0: the handshake, and the one ping that may wait.
type weightless []byte

func (w weightless) Bytes() []byte   { return w }
func (weightless) Len() int          { return 0 }
func (weightless) Done(string, bool) {}
func (weightless) Late(string)       {}

// BeginFrame leaves room in dst for the header of a text frame. Append an Engine.IO packet to b, and then call EndFrame with
// the start returned here. It is for those who do not know the length before they have encoded the packet.
func BeginFrame(dst []byte) (b []byte, start int) { return ws.BeginFrame(dst) }

// EndFrame writes the header of the frame that BeginFrame began at start.
func EndFrame(b []byte, start int) []byte { return ws.EndFrame(b, start, ws.Text) }

// AppendMessage appends the WebSocket frame of a message of text, fit for Session.Push. The text must be UTF-8 without
// U+001E, which separates packets in polling.
func AppendMessage(dst, text []byte) []byte {
	dst, start := BeginFrame(dst)
	return EndFrame(append(append(dst, byte(Message)), text...), start)
}

// AppendBinaryMessage appends the WebSocket frame of a binary message, fit for Session.Push.
func AppendBinaryMessage(dst, data []byte) []byte { return ws.AppendFrame(dst, ws.Binary, data) }
