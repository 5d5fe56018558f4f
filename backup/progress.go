package backup

import (
	"io"
	"sync/atomic"
)

// Progress counts what a long verb has done so far. It may be read while the verb works.
type Progress struct {
	moved    atomic.Int64
	estimate atomic.Int64
	label    atomic.Value
}

// Begin starts to measure a new task.
func (p *Progress) Begin(label string, estimate int64) {
	p.label.Store(label)
	p.estimate.Store(estimate)
	p.moved.Store(0)
}

// Now returns the current task, how many bytes are done, and about how many there will
// be. label is empty before the first task.
func (p *Progress) Now() (label string, moved, estimate int64) {
	label, _ = p.label.Load().(string)
	return label, p.moved.Load(), p.estimate.Load()
}

// Reader returns a reader that adds the bytes it passes on to the progress.
func (p *Progress) Reader(from io.Reader) io.Reader { return &progressReader{from, p} }

type progressReader struct {
	from     io.Reader
	progress *Progress
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.progress.moved.Add(int64(n))
	return n, err
}
