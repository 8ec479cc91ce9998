package engineio

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// buffer is memory for the body of a POST. It is taken from a pool while one is read.
type buffer struct{ b []byte }

// keepBuffer is how many bytes the largest buffer has that goes back to the pool.
const keepBuffer = 64 << 10

type bufferPool struct{ pool sync.Pool }

var buffers bufferPool

func (p *bufferPool) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, 0, 512)}
}

func (p *bufferPool) put(b *buffer) {
	if cap(b.b) <= keepBuffer {
		b.b = b.b[:0]
		p.pool.Put(b)
	}
}

// readAll reads r to its end.
func (b *buffer) readAll(r io.Reader) error {
	for {
		if len(b.b) == cap(b.b) {
			b.b = slices.Grow(b.b, cap(b.b))
		}
		n, err := r.Read(b.b[len(b.b):cap(b.b)])
		b.b = b.b[:len(b.b)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
