package backup

// Workers limits how many sessions of a run or a restore work at the same time. Whoever
// waits in Acquire is served before TryAcquire succeeds again.
type Workers chan struct{}

// RangeWorkers is the least number of workers with which several sessions read a table, each
// a range of it. Such scans go through the server's buffers and displace what is there,
// unlike a scan of a whole table. With two workers they gain too little for that: see
// decision 0509.
const RangeWorkers = 3

// NewWorkers returns n workers, but at least one.
func NewWorkers(n int) Workers { return make(Workers, max(1, n)) }

// Acquire waits for a worker.
func (w Workers) Acquire() { w <- struct{}{} }

// TryAcquire acquires a worker if one is free.
func (w Workers) TryAcquire() bool {
	select {
	case w <- struct{}{}:
		return true
	default:
		return false
	}
}

// Release returns n workers.
func (w Workers) Release(n int) {
	for range n {
		<-w
	}
}
