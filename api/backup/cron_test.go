package backup

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

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
		{"a day that never comes, with every weekday in steps of one", "0 1 30 2 */1", 0, `no month of "2" has a day of "30"`},
		{"a day that never comes, with a list that contains *", "0 1 31 4,6 ?,mon", 0, `no month of "4,6" has a day of "31"`},
		{"a step beyond every value", "5/9223372036854775807 1 * * *", 1, ""},
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

var expressions = flag.Int("expressions", 200_000, "how many random schedules to compare with Kubernetes' parser")

// Kubernetes parses schedules with robfig/cron. ParseCron accepts what it accepts, if
// the schedule fires at all.
func TestParseCron_AgreesWithKubernetes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	from := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) // a leap year is within the five years that Next searches
	accepted := 0
	for range *expressions {
		expression := randomExpression(random)
		_, ours := ParseCron(expression)
		schedule, theirs := cron.ParseStandard(expression)
		fires := theirs == nil && !schedule.Next(from).IsZero()
		if fires != (ours == nil) {
			t.Errorf("%q: Kubernetes: fires %t, %v; ParseCron: %v", expression, fires, theirs, ours)
		}
		if fires {
			accepted++
		}
	}
	if accepted < *expressions/20 {
		t.Errorf("only %d expressions were valid: the generator tests too little", accepted)
	}
}

func randomExpression(random *rand.Rand) string {
	limits := [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}
	fields := make([]string, 0, len(limits))
	for i, limit := range limits {
		var parts []string
		for range 1 + random.IntN(8)/6 {
			parts = append(parts, randomPart(random, i, limit[0], limit[1]))
		}
		fields = append(fields, strings.Join(parts, ","))
	}
	return strings.Join(fields, " ")
}

func randomPart(random *rand.Rand, field, low, high int) string {
	value := func() string {
		if random.IntN(40) == 0 {
			return strconv.Itoa(high + random.IntN(3))
		}
		if field == 3 && random.IntN(3) == 0 {
			return []string{"feb", "FEB", "Sep", "dec"}[random.IntN(4)]
		}
		if field == 4 && random.IntN(3) == 0 {
			return []string{"sun", "MON", "Sat"}[random.IntN(3)]
		}
		return strconv.Itoa(low + random.IntN(high-low+1))
	}
	var part string
	switch random.IntN(5) {
	case 0, 1:
		part = "*"
	case 2:
		part = "?"
	case 3:
		part = value()
	default:
		part = value() + "-" + value()
	}
	if random.IntN(3) == 0 {
		steps := []string{"1", "2", "7", "100", "9223372036854775807", "9223372036854775807", "18446744073709551615", "0", "01", ""}
		part += "/" + steps[random.IntN(len(steps))]
	}
	return part
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

// The times of a schedule are those of the library that CronJob uses.
func TestCron_Matches(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, expression := range []string{"0 1 * * *", "*/15 8-18 * * mon-fri", "30 12 28 2 *", "5/20 0 1,15 * sun", "0 3 */2 * 1", "* * * * *", "0 0 1 1 ?"} {
		ours, err := ParseCron(expression)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := cron.ParseStandard(expression)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(2026, 1, 1, 0, 0, 0, 0, berlin); at.Year() < 2029; at = at.Add(time.Duration(rand.IntN(60*24*3)) * time.Minute) {
			next := theirs.Next(at)
			if !ours.Matches(next) {
				t.Fatalf("%s does not match %s", expression, next)
			}
			if got, want := ours.Matches(at), theirs.Next(at.Add(-time.Second)).Equal(at); got != want {
				t.Fatalf("%s matches %s: %t", expression, at, got)
			}
		}
	}
}
