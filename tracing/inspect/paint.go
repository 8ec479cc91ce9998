package inspect

import (
	"strconv"
	"unicode/utf8"
)

// paint appends text for people: with colour when its output is a terminal, and never with bytes that a terminal would
// take for more than text.
type paint struct{ colour bool }

// Styles, as ECMA-48 SGR parameters.
const (
	dim    = "2"
	bold   = "1"
	red    = "1;31"
	yellow = "33"
	cyan   = "36"
)

// as appends s in a style.
func (p paint) as(dst []byte, style, s string) []byte {
	if !p.colour || s == "" {
		return append(dst, s...)
	}
	dst = append(append(append(dst, "\x1b["...), style...), 'm')
	dst = append(dst, s...)
	return append(dst, "\x1b[0m"...)
}

// clean appends b, which came from a log and so from anyone, with all that could steer a terminal or turn text around
// written as an escape. Lines stay lines.
func clean(dst, b []byte) []byte {
	for len(b) > 0 {
		if c := b[0]; c < utf8.RuneSelf {
			switch {
			case c == '\n':
				dst = append(dst, `\n`...)
			case c == '\t':
				dst = append(dst, `\t`...)
			case c < ' ' || c == 0x7f:
				dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			default:
				dst = append(dst, c)
			}
			b = b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
			dst = append(dst, `\u`...)
			for _, shift := range [...]int{12, 8, 4, 0} {
				dst = append(dst, hexDigits[r>>shift&15])
			}
		} else {
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// cleaned is clean, as a string.
func cleaned(s string) string { return string(clean(nil, []byte(s))) }

// appendMillis appends microseconds as milliseconds with three decimals, so that columns of them line up by their
// magnitude: 12,345.678.
func appendMillis(dst []byte, micros int64) []byte {
	dst = append(dst, group(micros/1000)...)
	f := micros % 1000
	return append(dst, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

// right appends s, moved to the right end of a column.
func right(dst []byte, width int, s string) []byte {
	for n := width - utf8.RuneCountInString(s); n > 0; n-- {
		dst = append(dst, ' ')
	}
	return append(dst, s...)
}

// left appends s and fills the column up.
func left(dst []byte, width int, s string) []byte {
	dst = append(dst, s...)
	for n := width - utf8.RuneCountInString(s); n > 0; n-- {
		dst = append(dst, ' ')
	}
	return dst
}

// shorten cuts s to at most n runes; the last says that it was cut.
func shorten(s []byte, n int) []byte {
	if utf8.RuneCount(s) <= n {
		return s
	}
	at := 0
	for range n - 1 {
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return append(s[:at], "…"...)
}
