package fluentbit

// Fluent Bit calls back on the stack of a coroutine, which had 24 KiB before 5.1;
// the Go runtime assumes 32 KiB below a foreign caller. The callback therefore
// must not allocate: it queues the chunk and waits for the result. Workers with
// stacks of their own do the rest.

// job carries a chunk from a callback to a worker and the result back.
type job struct {
	data, tag []byte // the caller's memory
	result    chan Result
}

// workers is the number of chunks that are delivered at once. It is larger than
// the number of workers that a Fluent Bit output has; further chunks wait.
const workers = 16

func (o *Output) startWorkers() {
	o.idleJobs, o.jobs = make(chan *job, workers), make(chan *job, workers)
	for range workers {
		o.idleJobs <- &job{result: make(chan Result, 1)}
		o.workers.Go(o.runWorker)
	}
}

func (o *Output) runWorker() {
	for {
		select {
		case j := <-o.jobs:
			j.result <- o.Flush(j.data, string(j.tag))
		case <-o.ctx.Done():
			return
		}
	}
}

// Submit passes a chunk to a worker and waits for the result. It may be called on
// a foreign stack. It does not keep data and tag.
func (o *Output) Submit(data, tag []byte) Result {
	select {
	case <-o.ctx.Done():
		return Retry
	case j := <-o.idleJobs:
		j.data, j.tag = data, tag
		o.jobs <- j
		result := o.await(j)
		j.data, j.tag = nil, nil
		o.idleJobs <- j
		return result
	}
}

// await waits for the result of a job. When the output stops, no worker may be
// left to take it: await then answers the jobs that are still queued itself.
func (o *Output) await(j *job) Result {
	select {
	case result := <-j.result:
		return result
	case <-o.ctx.Done():
	}
	for {
		select {
		case result := <-j.result:
			return result
		case queued := <-o.jobs:
			queued.result <- Retry
		}
	}
}
