package retention

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// aged returns good backups so many days old, the newest first.
func aged(days ...int) (backups backup.Records) {
	for i, d := range days {
		backups = append(backups, record(noon.AddDate(0, 0, -d), i))
	}
	return backups
}

func record(at time.Time, random int) backup.Record {
	return backup.Record{Entry: backup.Entry{Database: "db", ID: backup.NewID(at, uint32(random)), Taken: at, Committed: true}}
}

// with sets the condition of the backups at some places.
func with(backups backup.Records, condition backup.Condition, places ...int) backup.Records {
	for _, i := range places {
		backups[i].Condition, backups[i].Problem = condition, "for the test"
	}
	return backups
}

func verified(backups backup.Records, place int) backup.Records {
	backups[place].Verification = &backup.Verification{Verified: true}
	return backups
}

func held(backups backup.Records, place int) backup.Records {
	backups[place].Entry.Held = true
	return backups
}

// outcome is one letter for each decision: k for keep, d for delete.
func outcome(decisions []Decision) (letters string) {
	for _, d := range decisions {
		letters += map[bool]string{true: "d", false: "k"}[d.Delete]
	}
	return letters
}

func TestRetain(t *testing.T) {
	week, three := Policy{Days: 7, KeepMinimum: 1}, Policy{Days: 7, KeepMinimum: 3}
	old := func() backup.Records { return aged(30, 31, 32, 33, 34, 35) }
	for name, c := range map[string]struct {
		backups backup.Records
		policy  Policy
		want    string
	}{
		"keeps all young ones":                              {aged(0, 1, 2, 3), week, "kkkk"},
		"deletes old ones":                                  {aged(0, 1, 8, 9), week, "kkdd"},
		"keeps the newest however old they are":             {aged(40, 41, 42, 43), three, "kkkd"},
		"keeps the newest verified one":                     {verified(aged(0, 8, 9, 10), 2), week, "kdkd"},
		"keeps held ones":                                   {held(aged(0, 8, 9, 10), 3), week, "kddk"},
		"deletes one of exactly the retention's age":        {aged(7, 7), week, "kd"},
		"decides nothing about no backups":                  {nil, week, ""},
		"does not count damaged ones":                       {with(old(), backup.Damaged, 0, 1, 2), three, "dddkkk"},
		"does not count empty ones":                         {with(old(), backup.Empty, 0, 1, 2), three, "dddkkk"},
		"does not count incomplete ones":                    {with(old(), backup.Incomplete, 0, 1, 2), three, "dddkkk"},
		"neither counts nor deletes unreadable ones":        {with(old(), backup.Unreadable, 0, 1, 2), three, "kkkkkk"},
		"neither counts nor deletes unsigned ones":          {with(old(), backup.Unsigned, 0, 1, 2), three, "kkkkkk"},
		"neither counts nor deletes misdated ones":          {with(old(), backup.Misdated, 0, 1, 2), three, "kkkkkk"},
		"neither counts nor deletes unproven ones":          {with(old(), backup.Unproven, 0, 1, 2), three, "kkkkkk"},
		"neither counts nor deletes ones from the future":   {aged(-3000, 40, 41), week, "kkd"},
		"deletes nothing without a good one":                {with(aged(40, 41, 42, 43), backup.Damaged, 0, 1, 2, 3), week, "kkkk"},
		"does not protect a verified one that is damaged":   {with(verified(aged(0, 8, 9), 1), backup.Incomplete, 1), week, "kdd"},
		"keeps the newest verified one among damaged ones":  {verified(with(aged(40, 41, 42, 43), backup.Damaged, 0, 2), 3), week, "dkdk"},
		"keeps young damaged ones":                          {with(aged(0, 1, 2), backup.Damaged, 0, 1), week, "kkk"},
		"treats a retention below one day as one day":       {aged(0, 1, 2), Policy{Days: -5, KeepMinimum: -5}, "kdd"},
		"keeps everything for the largest possible numbers": {aged(0, 100, 30000), Policy{Days: math.MaxInt, KeepMinimum: math.MaxInt}, "kkk"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := outcome(Retain(c.backups, c.policy, noon)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRetain_Numbers(t *testing.T) {
	t.Run("no number of days deletes a younger backup", func(t *testing.T) {
		for _, days := range []int{1, 7, 36499, 36500, 36501, 1 << 20, 106_751, 106_752, math.MaxInt32, math.MaxInt32 + 1, math.MaxInt - 1, math.MaxInt} {
			backups := aged(0, 0, 0)
			for age := 1; age < min(days, maxDays); age = age*3 + 1 {
				backups = append(backups, aged(age)...)
			}
			if got := outcome(Retain(backups, Policy{Days: days, KeepMinimum: 1}, noon)); strings.Contains(got, "d") {
				t.Errorf("%d days: %s", days, got)
			}
		}
	})
}

var conditions = []backup.Condition{backup.Good, backup.Good, backup.Good, backup.Unreadable, backup.Empty, backup.Incomplete, backup.Damaged, backup.Unproven, backup.Misdated, backup.Unsigned}

// generate makes a catalog of up to 15 backups in any state.
func generate(random *rand.Rand) (backups backup.Records) {
	at := noon.Add(time.Duration(random.IntN(100)) * time.Hour)
	onlyBad := random.IntN(8) == 0
	for i := range random.IntN(16) {
		r := record(at, i)
		if r.Condition = conditions[random.IntN(len(conditions))]; onlyBad {
			r.Condition = conditions[3+random.IntN(len(conditions)-3)]
		}
		r.Entry.Held = random.IntN(10) == 0
		if random.IntN(4) == 0 {
			r.Verification = &backup.Verification{Verified: random.IntN(2) == 0}
		}
		backups = append(backups, r)
		at = at.Add(-time.Duration(1+random.IntN(24*10)) * time.Hour)
	}
	return backups
}

// The properties that hold for every catalog and every policy.
func TestRetain_Properties(t *testing.T) {
	random := rand.New(rand.NewPCG(13, 2))
	for range 50_000 {
		backups := generate(random)
		policy := Policy{Days: random.IntN(40), KeepMinimum: random.IntN(6), TakeMany: true}
		decisions := Retain(backups, policy, noon)
		if broken := brokenProperty(decisions, policy); broken != "" {
			t.Fatalf("%s\npolicy %+v\n%s", broken, policy, describe(decisions))
		}
	}
}

func brokenProperty(decisions []Decision, policy Policy) string {
	good, goodKept, anyDeleted, verifiedSeen := 0, 0, false, false
	for _, d := range decisions {
		r := d.Record
		anyDeleted = anyDeleted || d.Delete
		if d.Delete && (r.Entry.Held || r.Entry.Taken.After(noon.AddDate(0, 0, -max(policy.Days, 1)))) {
			return "a held or young backup is deleted: " + r.Entry.ID
		}
		if d.Delete && (r.Condition == backup.Unreadable || r.Condition == backup.Unproven || r.Condition == backup.Misdated || r.Condition == backup.Unsigned) {
			return "a backup is deleted that retention cannot judge: " + r.Entry.ID
		}
		if r.Verified() && !verifiedSeen {
			if verifiedSeen = true; d.Delete {
				return "the newest verified backup is deleted: " + r.Entry.ID
			}
		}
		if !r.Good() || r.Entry.Taken.After(noon.Add(maxSkew)) {
			continue
		}
		if good++; d.Delete && good <= max(policy.KeepMinimum, 1) {
			return "one of the newest good backups is deleted: " + r.Entry.ID
		}
		if !d.Delete {
			goodKept++
		}
	}
	if anyDeleted && goodKept == 0 {
		return "the last good backup is gone, or there was none"
	}
	return ""
}

func describe(decisions []Decision) string {
	var out strings.Builder
	for _, d := range decisions {
		out.WriteString(d.Record.Entry.ID + " " + map[bool]string{true: "DELETE ", false: "keep "}[d.Delete] + string(d.Record.Condition) + " " + d.Reason + "\n")
	}
	return out.String()
}

// A thousand days of nightly runs: weeks of failures, verifications that find the
// newest backups damaged, and drills. Whatever happens, the newest good backups and
// the newest verified one survive.
func TestRetain_OverYears(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	policy := Policy{Days: 7, KeepMinimum: 3, TakeMany: true}
	var backups backup.Records
	for day := range 1000 {
		now := noon.AddDate(0, 0, day)
		if day%97 < 60 { // 37 nights of failures, again and again
			backups = append(backup.Records{record(now, day)}, backups...)
		}
		if len(backups) > 0 && random.IntN(3) == 0 {
			backups[random.IntN(min(len(backups), 5))].Condition = backup.Damaged
		}
		if day%90 == 45 && len(backups) > 0 {
			backups[0].Condition, backups[0].Verification = backup.Good, &backup.Verification{Verified: true}
		}
		wantVerified, anyVerified := backups.Newest(backup.Record.Verified)
		wantGood := min(len(backups)-backups.NotGood(), policy.KeepMinimum)
		var left backup.Records
		for _, d := range Retain(backups, policy, now) {
			if !d.Delete {
				left = append(left, d.Record)
			}
		}
		if got := len(left) - left.NotGood(); got < wantGood {
			t.Fatalf("day %d: %d good backups are left, want %d", day, got, wantGood)
		}
		if got, _ := left.Newest(backup.Record.Verified); anyVerified && got.Entry.ID != wantVerified.Entry.ID {
			t.Fatalf("day %d: the newest verified backup is gone", day)
		}
		backups = left
	}
}

func TestCheckShare(t *testing.T) {
	many := []Decision{{Delete: true}, {Delete: true}, {}}
	for name, c := range map[string]struct {
		decisions []Decision
		policy    Policy
		refused   bool
	}{
		"refuses more than half":        {many, Policy{}, true},
		"refuses four of seven":         {append(slices.Repeat([]Decision{{Delete: true}}, 4), Decision{}, Decision{}, Decision{}), Policy{}, true},
		"allows half":                   {append(many[:2:2], Decision{}, Decision{}), Policy{}, false},
		"allows more where it was told": {many, Policy{TakeMany: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkShare(c.decisions, c.policy)
			if errors.Is(err, ErrTooMany) != c.refused {
				t.Errorf("got %v", err)
			}
			if c.refused && !strings.Contains(err.Error(), "pg-backup prune --take-many") {
				t.Errorf("does not say how to continue: %v", err)
			}
		})
	}
}

func TestCheckSkew(t *testing.T) {
	for skew, refused := range map[time.Duration]bool{0: false, 59 * time.Minute: false, time.Hour: false, time.Hour + 1: true, 61 * time.Minute: true, 1 << 62: true} {
		for _, theirs := range []time.Time{noon.Add(skew), noon.Add(-skew)} {
			if err := checkSkew(noon, theirs); (err != nil) != refused {
				t.Errorf("%s: got %v", skew, err)
			}
		}
	}
}
