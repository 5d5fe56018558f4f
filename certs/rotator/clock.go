package rotator

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// clock is the local one, set right by the API server's: that is the client
// which will judge our certificates, and all replicas ask the same. A local
// clock that is wrong, or jumps, is corrected by the next answer.
type clock struct {
	local func() time.Time
	last  atomic.Pointer[comparison]
}

// comparison is what an answer of the API server told of the local clock.
type comparison struct {
	began  time.Time // by the local clock
	offset time.Duration
}

// errNoTime stops what was begun before a pause or a jump: what would follow
// from the time it began at may not be so.
var errNoTime = errors.New("the process was paused or its clock moved meanwhile")

// read returns the local wall time. The monotonic reading is dropped: it stands
// still while a machine sleeps, and certificates do not.
func (c *clock) read() time.Time { return c.local().Round(0) }

// at is the time that it was at a local reading. The reading must be recent, and
// from before an answer of the API server that the clock was compared with.
func (c *clock) at(reading time.Time, recent time.Duration) (time.Time, error) {
	last := c.last.Load()
	if last == nil || !within(reading, last.began, recent) || !within(reading, c.read(), recent) {
		return time.Time{}, errNoTime
	}
	return reading.Add(last.offset), nil
}

func (c *clock) now() time.Time {
	if last := c.last.Load(); last != nil {
		return c.read().Add(last.offset)
	}
	return c.read()
}

// compare takes in what the server's clock showed between two local readings; it
// shows whole seconds.
func (c *clock) compare(before, server, after time.Time) {
	offset := server.Sub(before)
	if !server.Before(before.Add(-time.Second)) && !server.After(after.Add(time.Second)) {
		offset = 0
	}
	c.last.Store(&comparison{before, offset})
}

// within tells whether later follows earlier by no more than that.
func within(earlier, later time.Time, duration time.Duration) bool {
	passed := later.Sub(earlier)
	return passed >= 0 && passed <= duration
}

// dated compares the clock with every answer of the API server. One without a
// date, or that took too long to tell, confirms the local clock or says nothing.
type dated struct {
	next   http.RoundTripper
	clock  *clock
	recent time.Duration
}

func (d dated) RoundTrip(request *http.Request) (*http.Response, error) {
	before := d.clock.read()
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return response, err
	}
	server, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		server = before
	}
	if after := d.clock.read(); within(before, after, d.recent) {
		d.clock.compare(before, server, after)
	}
	return response, nil
}
