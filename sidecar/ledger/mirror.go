package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
)

// mirror is a file that always holds the ledger: the termination file, from which the
// kubelet reads it even if the sidecar is killed. A request is answered after its items are
// in the file. A write to the page cache that has begun is finished before a kill.
type mirror struct {
	mu     sync.Mutex
	file   *os.File
	buffer []byte
	size   int // of the file
}

// Mirror keeps the ledger in a file from now on, until Close. It must be called before
// anything is counted. A file that does not exist is no error: the sidecar is not in a pod.
func (l *Ledger) Mirror(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("open termination message: %w", err)
	}
	l.mirror = &mirror{file: file}
	for _, s := range Signals {
		l.Counters(s).ledger = l
	}
	_, err = l.write(true)
	return err
}

// Close writes the final line to the file of Mirror.
func (l *Ledger) Close() error {
	if l.mirror == nil {
		return nil
	}
	length, err := l.write(false)
	if err == nil {
		err = l.mirror.file.Truncate(int64(length))
	}
	return errors.Join(err, l.mirror.file.Close())
}

// changed writes the ledger to the file. Its error is ignored: Close writes again.
func (c *Counters) changed() {
	if c.ledger != nil {
		_, _ = c.ledger.write(true)
	}
}

// write overwrites the file with one system call, and returns the length of the line. What
// is left of a longer line is overwritten with spaces.
func (l *Ledger) write(running bool) (length int, err error) {
	m := l.mirror
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buffer = l.appendLine(m.buffer[:0], running)
	length = len(m.buffer)
	if length < m.size {
		m.buffer = append(m.buffer, bytes.Repeat([]byte{' '}, m.size-length)...)
	}
	m.size = len(m.buffer)
	if _, err := m.file.WriteAt(m.buffer, 0); err != nil {
		return 0, fmt.Errorf("write termination message: %w", err)
	}
	return length, nil
}
