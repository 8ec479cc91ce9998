//go:build !unix

package inbox

// init does nothing on systems without a read that does not wait: a Reader there holds a buffer while it waits.
func (*Reader) init() {}
