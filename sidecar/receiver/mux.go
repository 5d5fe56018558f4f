package receiver

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// prefaceTimeout is how long a connection may stay silent before it says what
// it speaks.
const prefaceTimeout = 30 * time.Second

// mux tells the connections of one listener apart: HTTP/2's preface begins with
// "PRI" (RFC 9113, section 3.4), and no method of HTTP/1.1 does.
type mux struct {
	rpc, web *branch
}

func newMux() *mux { return &mux{rpc: newBranch(), web: newBranch()} }

// serve accepts until ctx ends.
func (m *mux) serve(ctx context.Context, listener net.Listener) {
	var sorting sync.WaitGroup
	defer sorting.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely: some will be freed
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		sorting.Go(func() { m.sort(ctx, conn) })
	}
}

func (m *mux) sort(ctx context.Context, conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(prefaceTimeout))
	quiet := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	begin := make([]byte, 3)
	if _, err := io.ReadFull(conn, begin); err != nil || !quiet() {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	to := m.web
	if string(begin) == "PRI" {
		to = m.rpc
	}
	to.hand(&begun{Conn: conn, begin: begin})
}

func (m *mux) close() {
	_ = m.rpc.Close()
	_ = m.web.Close()
}

// branch is the listener of one protocol.
type branch struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newBranch() *branch { return &branch{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (b *branch) hand(conn net.Conn) {
	select {
	case b.conns <- conn:
	case <-b.closed:
		_ = conn.Close()
	}
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.conns:
		return conn, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

func (b *branch) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// Addr is never asked for anything but a log line.
func (b *branch) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// begun is a connection whose first bytes were read already.
type begun struct {
	net.Conn
	begin []byte
}

func (c *begun) Read(p []byte) (int, error) {
	if len(c.begin) > 0 {
		n := copy(p, c.begin)
		c.begin = c.begin[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
