package rotator

import (
	"net/http"
	"sync/atomic"
	"time"
)

// tolerance is what a Date header and a round trip may be off by: the header
// has whole seconds.
const tolerance = 2 * time.Second

// clock is the local one, set right by the API server's: that is the client
// which will judge our certificates, and all replicas ask the same. A local
// clock that is wrong, or jumps, is corrected by the next answer.
type clock struct {
	local  func() time.Time
	offset atomic.Int64
}

// read returns the local wall time. The monotonic reading is dropped: it stands
// still while a machine sleeps, and certificates do not.
func (c *clock) read() time.Time { return c.local().Round(0) }

// at is the time that it was at a local reading, by what is known now.
func (c *clock) at(local time.Time) time.Time { return local.Add(time.Duration(c.offset.Load())) }

func (c *clock) now() time.Time { return c.at(c.read()) }

// compare takes in what the server's clock showed between two local readings.
// An exchange that was not quick, by the local clock, tells nothing.
func (c *clock) compare(before, server, after time.Time) {
	if took := after.Sub(before); took < 0 || took > tolerance {
		return
	}
	offset := server.Sub(before)
	if offset.Abs() <= tolerance {
		offset = 0
	}
	c.offset.Store(int64(offset))
}

// dated compares the clock with every answer of the API server.
type dated struct {
	next  http.RoundTripper
	clock *clock
}

func (d dated) RoundTrip(request *http.Request) (*http.Response, error) {
	before := d.clock.read()
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return response, err
	}
	if server, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		d.clock.compare(before, server, d.clock.read())
	}
	return response, nil
}
