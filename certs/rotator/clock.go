package rotator

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// clock is the local clock, corrected by the clock of the API server. The API server
// verifies our certificates, and all replicas ask the same one. Its next response
// corrects a local clock that is wrong or jumps.
type clock struct {
	local func() time.Time
	last  atomic.Pointer[comparison]
}

// comparison is the difference between the clocks at one response of the API server.
type comparison struct {
	began  time.Time // by the local clock
	offset time.Duration
}

// errClockUnreliable stops a reconciliation during which the process was paused or
// the clock jumped: the time at which it began is not known.
var errClockUnreliable = errors.New("the process was paused or its clock moved")

// read returns the local wall time without the monotonic reading, which stops while
// a machine sleeps.
func (c *clock) read() time.Time { return c.local().Round(0) }

// at returns the corrected time of a local reading. The reading must be recent and
// older than the last response of the API server.
func (c *clock) at(reading time.Time, recent time.Duration) (time.Time, error) {
	last := c.last.Load()
	if last == nil || !isWithin(reading, last.began, recent) || !isWithin(reading, c.read(), recent) {
		return time.Time{}, errClockUnreliable
	}
	return reading.Add(last.offset), nil
}

func (c *clock) now() time.Time {
	if last := c.last.Load(); last != nil {
		return c.read().Add(last.offset)
	}
	return c.read()
}

// compare records the server's time, in whole seconds, at a moment between two local
// readings.
func (c *clock) compare(before, server, after time.Time) {
	offset := server.Sub(before)
	if !server.Before(before.Add(-time.Second)) && !server.After(after.Add(time.Second)) {
		offset = 0
	}
	c.last.Store(&comparison{before, offset})
}

// isWithin reports whether later follows earlier by at most duration.
func isWithin(earlier, later time.Time, duration time.Duration) bool {
	passed := later.Sub(earlier)
	return passed >= 0 && passed <= duration
}

// dateTransport compares the clock with the Date header of every response. A response
// without a date confirms the local clock. A response that took too long is ignored.
type dateTransport struct {
	next   http.RoundTripper
	clock  *clock
	recent time.Duration
}

func (d dateTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	before := d.clock.read()
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return response, err
	}
	server, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		server = before
	}
	if after := d.clock.read(); isWithin(before, after, d.recent) {
		d.clock.compare(before, server, after)
	}
	return response, nil
}
