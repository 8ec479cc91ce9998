package load

import (
	"fmt"

	"github.com/traceroom/traceroom/app/bench/wire"
	"github.com/traceroom/traceroom/web/ws"
)

// script is how a member joins its room and what it sends there.
type script struct {
	path  string
	steps []step // after the upgrade
	// A message is a whole frame: pre, text, post; or, if end is not nil, pre, text, post, the message's number, end.
	pre, post, end []byte
}

// step sends and waits for a frame that begins with want.
type step struct {
	send string
	want string
}

// scriptOf returns the script of a client in a room.
func scriptOf(d Dialect, room, client string) script {
	switch d {
	case Bare:
		return script{path: "/ws"}.says("", "")
	case Chat:
		return script{path: "/ws/" + room + "/" + client}.says(`{"type":"message","text":"`, `"}`)
	case ChatRefs:
		s := script{path: "/ws/" + room + "/" + client}.says(`{"type":"message","text":"`, `","ref":"`+string(make([]byte, wire.NumberSize))+`"}`)
		number := len(s.post) - len(`"}`)
		s.post, s.end = s.post[:number-wire.NumberSize], s.post[number:]
		return s
	case SocketIO, NodeIO:
		join := fmt.Sprintf(`42["join",{"user_id":%q,"chatroom_id":%q}]`, client, room)
		s := script{
			path:  "/socket.io/?EIO=4&transport=websocket",
			steps: []step{{"", "0{"}, {"40", "40{"}, {join, `42["joined"`}},
		}
		if d == NodeIO {
			s = s.says(fmt.Sprintf(`42["message",{"chatroom_id":%q,"message_text":"`, room), `"}]`)
		}
		return s
	default:
		panic("load: no such dialect: " + d)
	}
}

func (s script) says(before, after string) script {
	var text [wire.TextSize]byte
	frame := ws.AppendClientFrame(nil, ws.Text, []byte(before+string(text[:])+after))
	end := len(frame) - len(after)
	s.pre, s.post = frame[:end-len(text)], frame[end:]
	return s
}
