package engineio

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/ws"
)

func TestFramesOfEveryLengthComeBackFromTheirBytes(t *testing.T) {
	var all []byte
	var want []ws.Frame
	for _, n := range []int{0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 70000} {
		text := bytes.Repeat([]byte{'x'}, n)
		all = AppendMessage(all, text)
		want = append(want, ws.Frame{Op: ws.Text, Payload: append([]byte("4"), text...)})
		all = AppendBinaryMessage(all, text)
		want = append(want, ws.Frame{Op: ws.Binary, Payload: append([]byte{}, text...)})
	}
	for i, w := range want {
		f, rest, ok := nextFrame(all)
		require.True(t, ok, i)
		require.Equal(t, w.Op, f.Op)
		require.True(t, bytes.Equal(w.Payload, f.Payload), i)
		all = rest
	}
	require.Empty(t, all)
}

func TestWhatIsNoFrame(t *testing.T) {
	for _, b := range [][]byte{
		nil, {0x81}, {0x81, 1}, {0x01, 0}, {0x81, 126}, {0x81, 126, 0, 200}, {0x81, 127, 0, 0, 0}, {0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		_, _, ok := nextFrame(b)
		require.False(t, ok, "%x", b)
	}
}

func FuzzDecodePacket(f *testing.F) {
	for _, seed := range []string{"", "0{}", "1", "2probe", "3", "4hello", "5", "6", "7", "bAQIDBA==", "bAQ", "b=", "4\xff", "b"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		p, err := DecodePacket(data, binary)
		if err != nil {
			return
		}
		if p.Binary && p.Type != Message {
			t.Fatalf("binary packet of type %q", p.Type)
		}
		again, err := DecodePacket(AppendPacket(nil, p), false)
		if err != nil || again.Type != p.Type || again.Binary != p.Binary || !bytes.Equal(again.Data, p.Data) {
			t.Fatalf("%+v came back as %+v, %v", p, again, err)
		}
	})
}

func FuzzPackets(f *testing.F) {
	for _, seed := range []string{"", "4a", "4a\x1e2\x1e4b", "4hello\x1ebAQIDBA==", "\x1e", "4a\x1e", "4a\x1ex\x1e4b", "b\x1eb"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var packets []Packet
		for p, err := range Packets(data) {
			if err != nil {
				return
			}
			packets = append(packets, p)
		}
		if len(packets) != bytes.Count(data, []byte{separator})+1 {
			t.Fatalf("%d packets in %q", len(packets), data)
		}
		i := 0
		for p, err := range Packets(AppendPayload(nil, packets...)) {
			if err != nil || p.Type != packets[i].Type || !bytes.Equal(p.Data, packets[i].Data) {
				t.Fatalf("packet %d of %q came back as %+v, %v", i, data, p, err)
			}
			i++
		}
		if i != len(packets) {
			t.Fatalf("%d of %d packets came back", i, len(packets))
		}
	})
}

func FuzzNextFrame(f *testing.F) {
	f.Add(AppendMessage(nil, []byte("hello")))
	f.Add(AppendBinaryMessage(AppendMessage(nil, bytes.Repeat([]byte("x"), 126)), []byte{1}))
	f.Add([]byte{0x81, 126, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			fr, rest, ok := nextFrame(data)
			if !ok {
				return
			}
			if len(fr.Payload)+len(rest) > len(data)-2 {
				t.Fatalf("%d bytes gave %d and %d", len(data), len(fr.Payload), len(rest))
			}
			data = rest
		}
	})
}
