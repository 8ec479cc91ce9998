//go:build linux

package load

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/traceroom/traceroom/web/ws"
)

// patience is how long a server may take to answer a handshake.
const patience = 20 * time.Second

// session is a connection on which the script's steps are done.
type session struct {
	fd   int
	rest []byte // bytes read after the last step
	last int    // size of the frame that ended the last step
}

// dial connects, upgrades and does s's steps. The socket is in blocking mode.
func dial(addr netip.AddrPort, s script) (session, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return session{fd: -1}, fmt.Errorf("socket: %w", err)
	}
	done, err := greet(fd, addr, s)
	if err != nil {
		_ = unix.Close(fd)
		return session{fd: -1}, fmt.Errorf("%s: %w", s.path, err)
	}
	return done, nil
}

func greet(fd int, addr netip.AddrPort, s script) (done session, err error) {
	wait := unix.NsecToTimeval(patience.Nanoseconds())
	for _, err := range []error{
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
	} {
		if err != nil {
			return done, err
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		return done, fmt.Errorf("connect: %w", err)
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.path, addr)
	if err := writeAll(fd, []byte(request)); err != nil {
		return done, err
	}
	r := reader{fd: fd}
	if err := r.upgraded(); err != nil {
		return done, err
	}
	for _, st := range s.steps {
		if st.send != "" {
			if err := writeAll(fd, ws.AppendClientFrame(nil, ws.Text, []byte(st.send))); err != nil {
				return done, err
			}
		}
		if done.last, err = r.until(st.want); err != nil {
			return done, err
		}
	}
	done.fd, done.rest = fd, r.have
	return done, nil
}

// reader reads from a blocking socket.
type reader struct {
	fd   int
	have []byte
}

func (r *reader) more() error {
	r.have = append(r.have, make([]byte, 4096)...)
	free := r.have[len(r.have)-4096:]
	n, err := unix.Read(r.fd, free)
	for err == unix.EINTR {
		n, err = unix.Read(r.fd, free)
	}
	r.have = r.have[:len(r.have)-4096+max(n, 0)]
	switch {
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return fmt.Errorf("the server closed the connection")
	}
	return nil
}

// upgraded reads and checks the answer to the handshake.
func (r *reader) upgraded() error {
	for {
		if head, rest, ok := bytes.Cut(r.have, []byte("\r\n\r\n")); ok {
			status, _, _ := bytes.Cut(head, []byte("\r\n"))
			if !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
				return fmt.Errorf("the server answered %q", status)
			}
			// The accept key that RFC 6455 section 1.3 gives for the key that every client here sends.
			if !bytes.Contains(head, []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
				return fmt.Errorf("the server's Sec-WebSocket-Accept is wrong")
			}
			r.have = rest
			return nil
		}
		if err := r.more(); err != nil {
			return err
		}
	}
}

// until reads frames up to the first whose payload begins with want and returns the size of that frame.
func (r *reader) until(want string) (int, error) {
	for {
		f, n, err := ws.CutFrame(r.have)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			if err := r.more(); err != nil {
				return 0, fmt.Errorf("waiting for %s: %w", want, err)
			}
			continue
		}
		r.have = r.have[n:]
		if f.Op == ws.Close {
			return 0, fmt.Errorf("waiting for %s: closed with %q", want, f.Payload)
		}
		if bytes.HasPrefix(f.Payload, []byte(want)) {
			return n, nil
		}
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b = b[n:]
	}
	return nil
}
