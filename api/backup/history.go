package backup

import (
	"strconv"
	"strings"
	"time"
)

// HistoryDays is how many days [History] keeps: 53 weeks.
const HistoryDays = 371

// DayResult is what happened to the backups of a source on one day, as a set of bits.
type DayResult uint8

// The bits.
const (
	DaySucceeded     DayResult = 1 << iota // a run committed its backups
	DayFailed                              // a run failed
	DayProven                              // a drill restored the newest backups and found them equal
	DayRestoreFailed                       // a drill failed
)

// History is what happened on each of the newest days on which something happened: the
// past that Jobs, which the cluster deletes, do not keep. A day is one in the time zone of
// the schedule.
type History struct {
	// Until is the newest day, as 2026-11-26.
	Until string `json:"until"`
	// Days has a hexadecimal digit for each day, a [DayResult]; the last is that of Until.
	Days string `json:"days"`
}

// With returns the history with the result of one attempt, which began at a time in the
// schedule's time zone. A day that is too old is left out.
func (h *History) With(began time.Time, result DayResult) *History {
	if result == 0 {
		return h
	}
	day := dayOf(began)
	next := History{Until: day.Format(time.DateOnly)}
	last, digits := day, ""
	if h != nil {
		if until, err := time.Parse(time.DateOnly, h.Until); err == nil {
			last, digits = until, h.Days
		}
	}
	back := daysBetween(day, last)
	switch {
	case back >= HistoryDays:
		return h
	case back >= 0:
		next.Until = last.Format(time.DateOnly)
	default: // newer than all
		digits += strings.Repeat("0", min(-back, HistoryDays))
		back = 0
	}
	if missing := back + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	at := len(digits) - 1 - back
	digits = digits[:at] + strconv.FormatUint(uint64(digitAt(digits, at)|result), 16) + digits[at+1:]
	next.Days = strings.TrimLeft(digits[max(0, len(digits)-HistoryDays):], "0")
	return &next
}

// On returns the result of a day.
func (h *History) On(day time.Time) DayResult {
	if h == nil {
		return 0
	}
	until, err := time.Parse(time.DateOnly, h.Until)
	if err != nil {
		return 0
	}
	return digitAt(h.Days, len(h.Days)-1-daysBetween(dayOf(day), until))
}

func digitAt(digits string, at int) DayResult {
	if at < 0 || at >= len(digits) {
		return 0
	}
	n, err := strconv.ParseUint(digits[at:at+1], 16, 8)
	if err != nil {
		return 0
	}
	return DayResult(n)
}

// dayOf returns midnight of the day in UTC, where each day has 24 hours.
func dayOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

func daysBetween(from, to time.Time) int { return int(to.Sub(from) / (24 * time.Hour)) }
