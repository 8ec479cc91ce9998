// Package wire is what the benchmark's clients need of WebSocket (RFC 6455) and no more: cutting what a server sends into
// frames, building what a client sends, and the text of the measured messages, which can be recognised within any
// framing (a bare line, JSON, Socket.IO) without decoding it. No input or output, and no allocation per message.
package wire
