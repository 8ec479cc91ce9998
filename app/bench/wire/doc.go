// Package wire is the text of the benchmark's messages, which can be recognised in any framing (a bare line, JSON, Socket.IO)
// without decoding it. It neither reads nor writes, and allocates nothing for a message. Frames are those of package ws.
package wire
