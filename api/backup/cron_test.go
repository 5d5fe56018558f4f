package backup

import (
	"strings"
	"testing"

	"github.com/robfig/cron/v3"
)

func TestParseCron(t *testing.T) {
	cases := []struct {
		name, expression string
		perDay           int
		problem          string // "" where it is taken
	}{
		{"once a night", "0 1 * * *", 1, ""},
		{"at a minute of its own", "H 1 * * *", 1, ""},
		{"within a range", "H(10-20) H(1-4) * * *", 1, ""},
		{"every quarter of an hour", "*/15 * * * *", 96, ""},
		{"quarterly, by name", "0 3 1 jan,APR,jul,oct *", 1, ""},
		{"from a value on in steps", "5/20 0 * * *", 3, ""},
		{"weekdays", "0 1 * * mon-fri", 1, ""},
		{"four fields", "0 1 * *", 0, "4 fields instead of 5"},
		{"an hour of 24", "0 24 * * *", 0, `hour "24": "24" is not within 0 to 23`},
		{"Sunday as 7", "0 1 * * 7", 0, `day of week "7": "7" is not within 0 to 6`},
		{"a range that goes back", "0 5-1 * * *", 0, `hour "5-1": 5 is after 1`},
		{"no step at all", "*/0 * * * *", 0, `minute "*/0": "0" is not a step`},
		{"a sign", "+5 1 * * *", 0, `minute "+5": "+5" is not within 0 to 59`},
		{"H for a day", "0 1 H * *", 0, `day of month "H": "H" is not within 1 to 31`},
		{"a day that never comes", "0 1 30 2 *", 0, `no month of "2" has a day of "30"`},
		{"a day of leap years", "0 1 29 2 *", 1, ""},
		{"a day that never comes, or Mondays", "0 1 30 2 mon", 1, ""},
		{"a descriptor", "@daily", 0, "1 fields instead of 5"},
		{"a time zone of its own", "TZ=UTC 0 1 * * *", 0, "6 fields instead of 5"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			parsed, err := ParseCron(c.expression)
			if got := message(err); got != c.problem {
				t.Fatalf("error %q, want %q", got, c.problem)
			}
			if parsed.PerDay() != c.perDay {
				t.Errorf("%d a day, want %d", parsed.PerDay(), c.perDay)
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCron_Schedule(t *testing.T) {
	c, err := ParseCron("H(0-29) H(1-4) * * *")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.Schedule(7), c.Schedule(7); a != b {
		t.Errorf("the same seed gave %q and %q", a, b)
	}
	seen := map[string]bool{}
	for seed := range uint64(30 * 4) {
		s := c.Schedule(seed)
		if _, err := cron.ParseStandard(s); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		seen[s] = true
	}
	if len(seen) != 30*4 {
		t.Errorf("%d of 120 seeds have a schedule of their own", len(seen))
	}
}

// Every schedule that ParseCron accepts is one that the API server accepts.
func FuzzCron(f *testing.F) {
	for _, s := range []string{"0 1 * * *", "*/15 0-5/2 ? JAN,feb mon-FRI", "1,2,3 4 5 6 0", "59/3 * * * *", "*-5 1 * * *", "1- 2 3 4 5", "1-2-3 4 5 6 0", "*/2/3 1 1 1 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fields := strings.Fields(s)
		if len(fields) != 5 || strings.Contains(s, "H") || strings.Contains(s, "TZ=") || strings.HasPrefix(strings.TrimSpace(s), "@") {
			return // notations that only one of the two has
		}
		parsed, ours := ParseCron(s)
		if ours != nil {
			return // stricter is safe: it is refused at apply
		}
		if _, theirs := cron.ParseStandard(parsed.Schedule(1)); theirs != nil {
			t.Errorf("%q is taken here and not by the API server: %v", s, theirs)
		}
	})
}
