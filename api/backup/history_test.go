package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistory_With(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 1, 0, 0, 0, time.UTC) }
	type event struct {
		at     time.Time
		result DayResult
	}
	for name, c := range map[string]struct {
		events []event
		want   History
	}{
		"one day":                                   {[]event{{day(26), DaySucceeded}}, History{"2026-11-26", "1"}},
		"days without a run stay empty":             {[]event{{day(22), DaySucceeded}, {day(26), DayFailed}}, History{"2026-11-26", "10002"}},
		"a day adds up":                             {[]event{{day(26), DayFailed}, {day(26), DaySucceeded}, {day(26), DayProven}}, History{"2026-11-26", "7"}},
		"attempts arrive out of order":              {[]event{{day(26), DaySucceeded}, {day(22), DayFailed}}, History{"2026-11-26", "20001"}},
		"all bits are one digit":                    {[]event{{day(26), DaySucceeded | DayFailed | DayProven | DayRestoreFailed}}, History{"2026-11-26", "f"}},
		"a time zone decides the day":               {[]event{{time.Date(2026, 11, 26, 0, 30, 0, 0, time.FixedZone("", 3600)), DaySucceeded}}, History{"2026-11-26", "1"}},
		"what is older than 53 weeks is dropped":    {[]event{{day(26).AddDate(-2, 0, 0), DayFailed}, {day(26), DaySucceeded}}, History{"2026-11-26", "1"}},
		"a late attempt that is too old is dropped": {[]event{{day(26), DaySucceeded}, {day(26).AddDate(0, 0, -HistoryDays), DayFailed}}, History{"2026-11-26", "1"}},
		"the oldest day is kept": {
			[]event{{day(26), DaySucceeded}, {day(26).AddDate(0, 0, 1-HistoryDays), DayFailed}},
			History{"2026-11-26", "2" + strings.Repeat("0", HistoryDays-2) + "1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var h *History
			for _, e := range c.events {
				before := h
				var copied History
				if before != nil {
					copied = *before
				}
				h = h.With(e.at, e.result)
				if before != nil && *before != copied {
					t.Error("the history before was changed")
				}
			}
			if diff := cmp.Diff(c.want, *h); diff != "" {
				t.Error(diff)
			}
			for _, e := range c.events {
				if at := dayOf(e.at); len(c.want.Days) > daysBetween(at, dayOf(day(26))) && h.On(e.at)&e.result != e.result {
					t.Errorf("%s: %b", e.at, h.On(e.at))
				}
			}
		})
	}
}

func TestHistory_OnBadValue(t *testing.T) {
	for name, h := range map[string]*History{
		"none": nil, "no date": {Days: "1"}, "no digit": {"2026-11-26", "x"}, "no days": {Until: "2026-11-26"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := h.On(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)); got != 0 {
				t.Errorf("%b", got)
			}
			if next := h.With(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), DaySucceeded); next.Days[len(next.Days)-1] != '1' {
				t.Errorf("%+v", next)
			}
		})
	}
}

func TestCron_RunsOn(t *testing.T) {
	for name, c := range map[string]struct {
		schedule, day string
		want          bool
	}{
		"nightly":                                    {"0 1 * * *", "2026-11-26", true},
		"on Sundays, a Thursday":                     {"0 1 * * 0", "2026-11-26", false},
		"on Sundays, a Sunday":                       {"0 1 * * sun", "2026-11-29", true},
		"the first of each third month":              {"0 3 1 */3 *", "2026-10-01", true},
		"the first of each third month, another":     {"0 3 1 */3 *", "2026-11-01", false},
		"one of two day fields is enough":            {"0 1 26 * 0", "2026-11-26", true},
		"one of two day fields is enough, the other": {"0 1 13 * 4", "2026-11-26", true},
		"a star leaves the other field":              {"0 1 * * 1-3", "2026-11-26", false},
	} {
		t.Run(name, func(t *testing.T) {
			cron, err := ParseCron(c.schedule)
			if err != nil {
				t.Fatal(err)
			}
			day, err := time.Parse(time.DateOnly, c.day)
			if err != nil {
				t.Fatal(err)
			}
			if got := cron.RunsOn(day); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
