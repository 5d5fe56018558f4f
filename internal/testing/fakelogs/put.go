package fakelogs

import (
	"net/http"
	"time"
	"unicode/utf8"
)

type putRequest struct {
	Group  string `json:"logGroupName"`
	Stream string `json:"logStreamName"`
	Events []struct {
		Timestamp int64  `json:"timestamp"`
		Message   string `json:"message"`
	} `json:"logEvents"`
	SequenceToken string `json:"sequenceToken"` // ignored, as the service does
}

type putResult struct {
	NextSequenceToken string    `json:"nextSequenceToken"`
	Rejected          *rejected `json:"rejectedLogEventsInfo,omitempty"`
}

// rejected marks events by index: too old and expired events come first, with an
// exclusive end; too new ones come last, with an inclusive start.
type rejected struct {
	TooNewStart *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldEnd   *int `json:"tooOldLogEventEndIndex,omitempty"`
	ExpiredEnd  *int `json:"expiredLogEventEndIndex,omitempty"`
}

func (s *Server) putLogEvents(w http.ResponseWriter, r *http.Request, body []byte) {
	fault := s.next()
	if fault.Delay > 0 {
		s.pause(r, fault.Delay)
	}
	switch {
	case fault.Reset:
		resetConnection(w)
		return
	case fault.Refuse != "":
		answer(w, nil, refuse(fault.Refuse, "as the test wants it"))
		return
	case s.throttles():
		answer(w, nil, refuse("ThrottlingException", "Rate exceeded"))
		return
	}
	var in putRequest
	f := decode(body, &in)
	if f == nil {
		f = limits(in, s.options.Now())
	}
	if s.checkViolation("PutLogEvents", f) != nil {
		answer(w, nil, f)
		return
	}
	result, f := s.store(in, fault)
	switch {
	case f == nil && fault.LoseResponse:
		resetConnection(w)
	case f == nil && fault.Hang:
		s.pause(r, time.Hour)
		resetConnection(w)
	default:
		answer(w, result, f)
	}
}

// pause waits. It returns early when the client or the server closes the
// connection.
func (s *Server) pause(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-s.closing:
	}
}

func (s *Server) next() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.puts++
	if s.fault == nil {
		return Fault{}
	}
	return s.fault(s.puts - 1)
}

// throttles reports whether the account's quota is used up, and takes a token if
// not.
func (s *Server) throttles() bool {
	if s.options.Rate == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	s.tokens = min(s.options.Rate, s.tokens+now.Sub(s.filled).Seconds()*s.options.Rate)
	s.filled = now
	if s.tokens < 1 {
		return true
	}
	s.tokens--
	return false
}

// limits checks a request against the limits of a batch.
func limits(in putRequest, now time.Time) *failure {
	if !groupName.MatchString(in.Group) || !streamName.MatchString(in.Stream) {
		return invalid("names %q, %q", in.Group, in.Stream)
	}
	if n := len(in.Events); n < 1 || n > MaxBatchEvents {
		return invalid("%d events", n)
	}
	size, previous := 0, int64(0)
	first, last := int64(-1), int64(0)
	for i, e := range in.Events {
		switch {
		case e.Message == "" || !utf8.ValidString(e.Message):
			return invalid("event %d has no message in UTF-8", i)
		case len(e.Message)+EventOverhead > MaxEventBytes:
			return invalid("event %d has %d bytes", i, len(e.Message))
		case e.Timestamp < 0:
			return invalid("event %d is of %d", i, e.Timestamp)
		case e.Timestamp < previous:
			return invalid("log events in a single PutLogEvents request must be in chronological order: event %d", i)
		}
		previous = e.Timestamp
		size += len(e.Message) + EventOverhead
		if valid(e.Timestamp, now) {
			if first < 0 {
				first = e.Timestamp
			}
			last = e.Timestamp
		}
	}
	if size > MaxBatchBytes {
		return invalid("upload too large: %d bytes exceeds limit of %d", size, MaxBatchBytes)
	}
	if first >= 0 && last-first > MaxSpan.Milliseconds() {
		return invalid("the batch of log events in a single PutLogEvents request cannot span more than 24 hours")
	}
	return nil
}

func valid(timestamp int64, now time.Time) bool {
	return timestamp >= now.Add(-MaxPast).UnixMilli() && timestamp <= now.Add(MaxFuture).UnixMilli()
}

// store stores the events that are within the service's time window.
func (s *Server) store(in putRequest, fault Fault) (putResult, *failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[in.Group]
	if fault.DeleteGroup {
		delete(s.groups, in.Group)
		g = nil
	} else if fault.DeleteStream && g != nil {
		delete(g.streams, in.Stream)
	}
	if g == nil {
		return putResult{}, refuse("ResourceNotFoundException", "The specified log group does not exist.")
	}
	if !g.streams[in.Stream] {
		return putResult{}, refuse("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	result, now, lost := putResult{NextSequenceToken: "ignored"}, s.options.Now(), fault.LoseResponse || fault.Hang
	for i, e := range in.Events {
		if reason := result.reject(i, e.Timestamp, now, g.retention); reason != "" {
			s.rejected[reason]++
			continue
		}
		if s.number++; !s.discards {
			s.stored = append(s.stored, Event{in.Group, in.Stream, e.Timestamp, e.Message})
		}
		if lost {
			s.lost++
		}
	}
	return result, nil
}

// reject records an event outside the time window and returns the reason, or "".
func (p *putResult) reject(i int, timestamp int64, now time.Time, retention int) string {
	r := p.Rejected
	if r == nil {
		r = &rejected{}
	}
	end, reason := i+1, ""
	switch at := time.UnixMilli(timestamp); {
	case now.Sub(at) > MaxPast:
		r.TooOldEnd, reason = &end, "too_old"
	case retention > 0 && now.Sub(at) > time.Duration(retention)*24*time.Hour:
		r.ExpiredEnd, reason = &end, "expired"
	case at.Sub(now) > MaxFuture:
		if reason = "too_new"; r.TooNewStart == nil {
			r.TooNewStart = &i
		}
	}
	if reason != "" {
		p.Rejected = r
	}
	return reason
}
