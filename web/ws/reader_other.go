//go:build !unix

package ws

// initRaw does nothing on systems without a read that does not wait: a reader there holds a buffer while it waits.
func (*reader) initRaw() {}
