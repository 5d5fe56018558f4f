package backup

import (
	"io"
	"sync/atomic"
)

// Progress is what a long verb has done so far; others read it while it works.
type Progress struct {
	moved    atomic.Int64
	estimate atomic.Int64
	label    atomic.Value
}

// Begin starts to measure something new.
func (p *Progress) Begin(label string, estimate int64) {
	p.label.Store(label)
	p.estimate.Store(estimate)
	p.moved.Store(0)
}

// Now returns what is being done, how many bytes of it are, and how many there
// will be about; label is empty before anything began.
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
