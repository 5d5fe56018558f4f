package backup

import "sync/atomic"

// Progress is what a long verb has done so far; others read it while it works.
type Progress struct {
	moved    atomic.Int64
	estimate atomic.Int64
	label    atomic.Value
}

// begin starts to measure something new.
func (p *Progress) begin(label string, estimate int64) {
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
