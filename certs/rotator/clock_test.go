package rotator

import (
	"errors"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	t.Run("rejects a time when the process was paused or the clock moved", func(t *testing.T) {
		const recent = time.Minute
		start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
		server := start.AddDate(1, 0, 0) // the local clock is a year behind
		cases := map[string]struct {
			compared time.Duration // when the API server answered, after the reading
			now      time.Duration
			want     error
		}{
			"an answer after the reading":       {time.Second, 2 * time.Second, nil},
			"an answer from before the reading": {-time.Second, 2 * time.Second, errClockUnreliable},
			"a pause before the answer":         {recent + 1, recent + 2, errClockUnreliable},
			"a pause after the answer":          {time.Second, recent + 1, errClockUnreliable},
			"a clock that was set back":         {time.Second, -time.Hour, errClockUnreliable},
			"a clock that was set ahead":        {time.Second, time.Hour, errClockUnreliable},
		}
		for sentence, c := range cases {
			t.Run(sentence, func(t *testing.T) {
				clock := &clock{local: func() time.Time { return start.Add(c.now) }}
				answered := start.Add(c.compared)
				clock.compare(answered, server.Add(c.compared), answered)
				got, err := clock.at(start, recent)
				if !errors.Is(err, c.want) || err == nil && !got.Equal(server) {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
	})

	t.Run("keeps the local time when the server agrees to the second", func(t *testing.T) {
		start := time.Date(2026, 11, 23, 0, 0, 0, 999_000_000, time.UTC)
		clock := &clock{local: func() time.Time { return start }}
		clock.compare(start, start.Truncate(time.Second), start)
		if got := clock.now(); !got.Equal(start) {
			t.Errorf("%v became %v", start, got)
		}
	})
}
