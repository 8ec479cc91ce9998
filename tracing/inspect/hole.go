package inspect

import "encoding/json"

// hole is what the log's writer says in the place of lines that it could not write.
type hole struct {
	lines    int64
	from, to int64 // ms: when the writer began to lose them and lost the last
}

// parseHole reads a line that stands for others. The parser has found it to be none of an operation.
func parseHole(b []byte) (h hole, ok bool) {
	var l struct {
		Event    string
		Lines    int64
		From, To int64
	}
	if json.Unmarshal(b, &l) != nil || l.Event != "LOST" || l.Lines < 1 || !inRange(l.From, maxStamp) || !inRange(l.To, maxStamp) {
		return h, false
	}
	return hole{l.Lines, l.From, l.To}, true
}
