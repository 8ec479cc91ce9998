package wstest

import (
	"fmt"
	"strings"
)

// Opcodes (RFC 6455 section 5.2).
const (
	Continuation byte = 0x0
	Text         byte = 0x1
	Binary       byte = 0x2
	Close        byte = 0x8
	Ping         byte = 0x9
	Pong         byte = 0xA
)

// Final is the bit that is set in the last fragment of a message, and in a message that is not in fragments.
const Final byte = 0x80

// NoStatus is the code that stands for a close frame without a code.
const NoStatus = 1005

// Message is a message, ping or pong.
type Message struct {
	Op      byte
	Payload string
}

// Server says in what a server differs from others.
type Server struct {
	Prefix   string // what a text has to begin with
	TextOnly bool   // a binary message is answered with 1003
	Limit    int    // bytes of the longest message
}

// Case is what a client sends, and what must come of it.
type Case struct {
	Name  string
	Send  []string  // is written one by one
	Heard []Message // what the server hears, in order, without the close frame
	Close int       // the code of the server's close frame, or NoStatus; 0: the connection goes on
	// ByClient says that the server's close frame answers the client's.
	ByClient bool
}

// Cases returns the cases for s.
func (s Server) Cases() []Case {
	var all []Case
	for _, section := range []func() []Case{s.framing, s.lengths, s.pings, s.reserved, s.opcodes, s.fragments, s.utf8, s.closing, s.limits} {
		all = append(all, section()...)
	}
	if s.TextOnly {
		for i, c := range all {
			for at, m := range c.Heard {
				if m.Op == Binary {
					all[i].Heard, all[i].Close = c.Heard[:at], 1003
					break
				}
			}
		}
	}
	return all
}

func (s Server) text(t string) Message { return Message{Text, s.Prefix + t} }

// whole is a message in one frame.
func whole(m Message) string { return Frame(Final|m.Op, m.Payload) }

// fails is a case of frames that come behind a message and end the connection.
func (s Server) fails(code int, name string, frames ...string) Case {
	hello := s.text("hello")
	return Case{Name: name, Send: append([]string{whole(hello)}, frames...), Heard: []Message{hello}, Close: code}
}

// closes is a case of frames that come behind a message, among them a close frame.
func (s Server) closes(code int, name string, frames ...string) Case {
	c := s.fails(code, name, frames...)
	c.ByClient = true
	return c
}

// hears is a case of frames that are understood.
func hears(name string, send string, heard ...Message) Case {
	return Case{Name: name, Send: []string{send}, Heard: heard}
}

// chopped cuts s into pieces of n bytes.
func chopped(s string, n int) (pieces []string) {
	for len(s) > n {
		pieces = append(pieces, s[:n])
		s = s[n:]
	}
	return append(pieces, s)
}

func (s Server) framing() (cases []Case) {
	for _, n := range []int{0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536} {
		for _, m := range []Message{s.text(strings.Repeat("*", max(0, n-len(s.Prefix)))), {Binary, strings.Repeat("\xfe", n)}} {
			if len(m.Payload) > s.Limit {
				continue
			}
			cases = append(cases, hears(fmt.Sprintf("1 opcode %d, %d bytes", m.Op, n), whole(m), m))
			if n > 60_000 {
				cases = append(cases, Case{Name: fmt.Sprintf("1 opcode %d, %d bytes in pieces", m.Op, n), Send: chopped(whole(m), 997), Heard: []Message{m}})
			}
		}
	}
	hello := s.text("byte by byte")
	return append(cases, Case{Name: "1 byte by byte", Send: chopped(whole(hello)+Frame(Final|Ping, "x"), 1), Heard: []Message{hello, {Ping, "x"}}})
}

func (s Server) lengths() []Case {
	text := s.text("x").Payload
	return []Case{
		s.fails(1002, "1 a short text in the 16-bit form", Header(Final|Text, 126, len(text))+Masked(text)),
		s.fails(1002, "1 125 bytes in the 16-bit form", Header(Final|Binary, 126, 125)),
		s.fails(1002, "1 a short text in the 64-bit form", Header(Final|Text, 127, len(text))+Masked(text)),
		s.fails(1002, "1 65,535 bytes in the 64-bit form", Header(Final|Binary, 127, 65_535)),
		s.fails(1002, "1 a length with its highest bit set", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01"),
		s.fails(1002, "1 a length of ones", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		s.fails(1002, "1 a continuation in the 16-bit form", Frame(Text, text)+Header(Final, 126, 1)+Masked("x")),
		s.fails(1002, "2 a short ping in the 16-bit form", Header(Final|Ping, 126, 1)+Masked("x")),
		s.fails(1002, "2 a short ping in the 64-bit form", Header(Final|Ping, 127, 1)+Masked("x")),
		s.fails(1002, "1 a frame without a mask", "\x81\x01x"),
		s.fails(1002, "2 a ping without a mask", "\x89\x01x"),
	}
}

func (s Server) pings() []Case {
	var ten string
	var heard []Message
	for i := range 10 {
		m := Message{Ping, fmt.Sprint("payload ", i)}
		ten += whole(m)
		heard = append(heard, m)
	}
	hello := s.text("hello")
	longest := Message{Ping, strings.Repeat("\xfe", 125)}
	cases := []Case{
		hears("2 an empty ping", Frame(Final|Ping, ""), Message{Ping, ""}),
		hears("2 a ping", Frame(Final|Ping, "hello"), Message{Ping, "hello"}),
		hears("2 a ping of bytes", Frame(Final|Ping, "\x00\xff\xfe\xfd"), Message{Ping, "\x00\xff\xfe\xfd"}),
		hears("2 the longest ping", whole(longest), longest),
		{Name: "2 the longest ping byte by byte", Send: chopped(whole(longest), 1), Heard: []Message{longest}},
		s.fails(1002, "2 a ping of 126 bytes", Frame(Final|Ping, strings.Repeat("\xfe", 126))),
		hears("2 a pong that nobody asked for", Frame(Final|Pong, "x")+whole(hello), Message{Pong, "x"}, hello),
		hears("2 an empty pong, and a ping", Frame(Final|Pong, "")+Frame(Final|Ping, "x"), Message{Pong, ""}, Message{Ping, "x"}),
		hears("2 ten pings together", ten, heard...),
		{Name: "2 ten pings byte by byte", Send: chopped(ten, 1), Heard: heard},
		s.fails(1002, "2 a pong of 126 bytes", Frame(Final|Pong, strings.Repeat("x", 126))),
	}
	return cases
}

func (s Server) reserved() (cases []Case) {
	for bits := byte(1); bits < 8; bits++ {
		for _, op := range []byte{Text, Binary, Close, Ping, Pong} {
			cases = append(cases, s.fails(1002, fmt.Sprintf("3 reserved bits %03b of opcode %d", bits, op), Frame(Final|bits<<4|op, "")))
		}
	}
	return append(cases, s.fails(1002, "3 reserved bit of a continuation", Frame(Text, s.Prefix)+Frame(Final|0x40, "x")))
}

func (s Server) opcodes() (cases []Case) {
	for _, op := range []byte{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		for _, payload := range []string{"", "reserved"} {
			cases = append(cases, s.fails(1002, fmt.Sprintf("4 opcode %d, %d bytes", op, len(payload)), Frame(Final|op, payload)+Frame(Final|Ping, "not answered")))
		}
	}
	return cases
}

func (s Server) fragments() []Case {
	a, b, both := s.Prefix+"one ", "two", s.text("one two")
	hello, ping := s.text("hello"), Message{Ping, "between"}
	many := Frame(Text, a)
	for range 3 {
		many += Frame(0, "") + whole(ping)
	}
	many += Frame(Final, b)
	cases := []Case{
		s.fails(1002, "5 a ping in fragments", Frame(Ping, "x")+Frame(Final, "y")),
		s.fails(1002, "5 a pong in fragments", Frame(Pong, "x")+Frame(Final, "y")),
		s.fails(1002, "5 a close frame in fragments", Frame(Close, "\x03\xe8")),
		{Name: "5 fragments, one after the other", Send: []string{Frame(Text, a), Frame(Final, b)}, Heard: []Message{both}},
		hears("5 fragments together", Frame(Text, a)+Frame(Final, b), both),
		{Name: "5 fragments byte by byte", Send: chopped(Frame(Text, a)+Frame(Final, b), 1), Heard: []Message{both}},
		{Name: "5 a ping between fragments", Send: []string{Frame(Text, a), whole(ping), Frame(Final, b)}, Heard: []Message{ping, both}},
		hears("5 a ping between fragments, together", Frame(Text, a)+whole(ping)+Frame(Final, b), ping, both),
		{Name: "5 pings between many fragments byte by byte", Send: chopped(many, 1), Heard: []Message{ping, ping, ping, both}},
		hears("5 fragments of a binary message", Frame(Binary, "\x00")+Frame(0, "")+Frame(Final, "\xff"), Message{Binary, "\x00\xff"}),
		hears("5 empty fragments around a text", Frame(Text, "")+Frame(0, hello.Payload)+Frame(Final, ""), hello),
		s.fails(1002, "5 a continuation of no message", Frame(Final, "x")+whole(hello)),
		s.fails(1002, "5 a fragment that continues no message", Frame(0, "x")+whole(hello)),
		s.fails(1002, "5 a text within a message", Frame(Text, a)+whole(hello)),
		s.fails(1002, "5 a fragment of another text within a message", Frame(Text, a)+Frame(Text, a)+Frame(Final, b)),
		s.fails(1002, "5 a binary message within a message", Frame(Text, a)+Frame(Final|Binary, "x")),
	}
	after := s.fails(1002, "5 a continuation of a message that is complete", Frame(Text, a)+Frame(Final, b)+Frame(Final, "x"))
	after.Heard = append(after.Heard, both)
	return append(cases, after)
}

// Texts that are UTF-8, and bytes that are not.
var (
	valid = []string{
		"κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff",
		"\U00010000", "\U0001fffe", "\U0010ffff", "e\u0301", "\ufeff",
	}
	invalid = []string{
		"\x80", "\xbf", "\x80\xbf\x80", "\xc0 ", "\xdf ", "\xe0 ", "\xef ", "\xf0 ", "\xf7 ", "\xf8 ", "\xfc ", "\xfe", "\xff", "\xff\xfe",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x82 ", "\xf0\x9f\x98 ", // not complete
		"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", // too long
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", // surrogates
		"\xf4\x90\x80\x80", "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", // beyond Unicode
		"κόσμε\xed\xa0\x80edited",
	}
)

func (s Server) utf8() (cases []Case) {
	for _, t := range valid {
		m := s.text(t)
		fragments := Frame(Text, s.Prefix)
		for i := range len(t) {
			fragments += Frame(0, t[i:i+1])
		}
		cases = append(cases,
			hears(fmt.Sprintf("6 %+q", t), whole(m), m),
			hears(fmt.Sprintf("6 %+q, a byte a fragment", t), fragments+Frame(Final, ""), m))
	}
	for _, t := range invalid {
		m := s.text(t)
		cut := len(s.Prefix) + 1
		cases = append(cases,
			s.fails(1007, fmt.Sprintf("6 %+q", t), whole(m)),
			s.fails(1007, fmt.Sprintf("6 %+q in fragments", t), Frame(Text, m.Payload[:cut])+Frame(Final, m.Payload[cut:])))
	}
	// What comes behind is not looked at: nothing in it is answered.
	return append(cases, s.fails(1007, "6 a text that is none, and more", whole(s.text("\xff"))+Frame(Final|Ping, "x")+whole(s.text("x"))+Frame(Final|Close, "\x03\xe8")))
}

// closeFrame is a client's close frame.
func closeFrame(code int, reason string) string {
	return Frame(Final|Close, string([]byte{byte(code >> 8), byte(code)})+reason)
}

func (s Server) closing() []Case {
	bye, hello := closeFrame(1000, ""), s.text("hello")
	cases := []Case{
		{"7 a text and a close frame together", []string{whole(hello) + bye}, []Message{hello}, 1000, true},
		s.closes(1000, "7 a text, then a close frame", bye),
		s.closes(1000, "7 two close frames", bye+bye),
		s.closes(1000, "7 two close frames of two codes", bye+closeFrame(1001, "")),
		s.closes(1000, "7 a ping behind the close frame", bye+Frame(Final|Ping, "x")),
		s.closes(1000, "7 a text behind the close frame", bye, whole(hello)),
		s.closes(1000, "7 the rest of a text behind the close frame", Frame(Text, hello.Payload)+bye+Frame(Final, "x")),
		s.closes(1000, "7 much behind the close frame", bye, strings.Repeat(whole(hello), 20_000)),
		s.closes(1000, "7 a broken frame behind the close frame", bye, "\xff\xff\xff\xff"),
		s.closes(NoStatus, "7 an empty close frame", Frame(Final|Close, "")),
		s.fails(1002, "7 half a code", Frame(Final|Close, "\x03")),
		s.closes(1000, "7 a reason", closeFrame(1000, "Hello World!")),
		s.closes(1000, "7 a reason of several bytes a character", closeFrame(1000, "κόσμε")),
		s.closes(1000, "7 the longest reason", closeFrame(1000, strings.Repeat("*", 123))),
		s.fails(1002, "7 a reason that is too long", closeFrame(1000, strings.Repeat("*", 124))),
		s.fails(1007, "7 a reason that is not UTF-8", closeFrame(1000, "κόσμε\xed\xa0\x80edited")),
		s.fails(1007, "7 half a character as reason", closeFrame(1000, "\xc3")),
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, s.closes(code, fmt.Sprint("7 code ", code), closeFrame(code, "")))
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases,
			s.fails(1002, fmt.Sprint("7 code ", code), closeFrame(code, "")),
			s.fails(1002, fmt.Sprint("7 code ", code, " with a reason"), closeFrame(code, "reason")))
	}
	return cases
}

func (s Server) limits() []Case {
	over := strings.Repeat("x", s.Limit+1-len(s.Prefix))
	most := s.text(over[1:])
	var pieces []string
	for i := 0; i < len(most.Payload); i += 4096 {
		op := Continuation
		if i == 0 {
			op = Text
		}
		pieces = append(pieces, Frame(op, most.Payload[i:min(i+4096, len(most.Payload))]))
	}
	return []Case{
		hears("9 the longest text", whole(most), most),
		{Name: "9 the longest text in fragments", Send: append(pieces, Frame(Final, "")), Heard: []Message{most}},
		s.fails(1009, "9 a text that is too long", whole(s.text(over))),
		s.fails(1009, "9 fragments of a text that is too long", append(pieces[:len(pieces):len(pieces)], Frame(Final, "x"))...),
		s.fails(1009, "9 a text that is much too long", whole(s.text(strings.Repeat(over, 1+8<<20/len(over))))),
		s.fails(1009, "9 a text longer than there can be", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff"+Masked("x")),
	}
}
