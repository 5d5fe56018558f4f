package backup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup/pgarchive"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// aged are backups so many days old, the newest first.
func aged(days ...int) (backups []Entry) {
	for i, d := range days {
		at := noon.AddDate(0, 0, -d)
		backups = append(backups, Entry{Database: "db", ID: NewID(at, uint32(i)), Taken: at, Committed: true})
	}
	return backups
}

func TestRetention(t *testing.T) {
	cases := []struct {
		name     string
		backups  []Entry
		verified int // index; -1 is none
		held     int
		policy   Policy
		want     string // k or d, the newest first
	}{
		{"keeps all that are young", aged(0, 1, 2, 3), -1, -1, Policy{Days: 7, KeepMinimum: 1}, "kkkk"},
		{"deletes what is old", aged(0, 1, 8, 9), -1, -1, Policy{Days: 7, KeepMinimum: 1}, "kkdd"},
		{"keeps the newest however old", aged(40, 41, 42, 43), -1, -1, Policy{Days: 7, KeepMinimum: 3}, "kkkd"},
		{"keeps the newest verified", aged(0, 8, 9, 10), 2, -1, Policy{Days: 7, KeepMinimum: 1}, "kdkd"},
		{"keeps what is held", aged(0, 8, 9, 10), -1, 3, Policy{Days: 7, KeepMinimum: 1}, "kddk"},
		{"keeps one of exactly the age", aged(7, 7), -1, -1, Policy{Days: 7, KeepMinimum: 1}, "kd"},
		{"of none deletes none", nil, -1, -1, Policy{Days: 7, KeepMinimum: 1}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			verified := ""
			if c.verified >= 0 {
				verified = c.backups[c.verified].ID
			}
			if c.held >= 0 {
				c.backups[c.held].Held = true
			}
			got := ""
			for _, d := range Retain(c.backups, verified, c.policy, noon) {
				got += map[bool]string{true: "d", false: "k"}[d.Delete]
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A thousand days of nightly runs of which some fail for weeks: whatever happens,
// the newest backups survive, and so does the newest that was verified.
func TestRetentionOverYears(t *testing.T) {
	policy := Policy{Days: 7, KeepMinimum: 3}
	var backups []Entry
	verified := ""
	for day := range 1000 {
		now := noon.AddDate(0, 0, day)
		if day%97 < 60 { // 37 nights of failures, again and again
			backups = append([]Entry{{ID: NewID(now, uint32(day)), Taken: now}}, backups...)
		}
		if day%90 == 45 && len(backups) > 0 {
			verified = backups[0].ID
		}
		var left []Entry
		newest := ""
		for i, d := range Retain(backups, verified, policy, now) {
			if i == 0 {
				newest = d.Entry.ID
			}
			if !d.Delete {
				left = append(left, d.Entry)
			}
		}
		if len(backups) >= 3 && len(left) < 3 || len(left) > 0 && left[0].ID != newest {
			t.Fatalf("day %d: %d left", day, len(left))
		}
		seen := verified == ""
		for _, e := range left {
			seen = seen || e.ID == verified
		}
		if !seen {
			t.Fatalf("day %d: the newest verified is gone", day)
		}
		backups = left
	}
}

func TestPrunesThatAreRefused(t *testing.T) {
	many := []Decision{{Delete: true}, {Delete: true}, {}}
	if tooMany(many, Policy{}) == nil || tooMany(many, Policy{TakeMany: true}) != nil || tooMany(many[1:], Policy{}) != nil {
		t.Error("more than half is not what decides")
	}
	if skewed(noon, noon.Add(59*time.Minute)) != nil || skewed(noon, noon.Add(61*time.Minute)) == nil || skewed(noon.Add(61*time.Minute), noon) == nil {
		t.Error("an hour is not what decides")
	}
}

func TestNamesSortByTime(t *testing.T) {
	if NewID(noon, 0xffff) >= NewID(noon.Add(time.Millisecond), 0) || NewID(noon.Add(999*time.Millisecond), 0xffff) >= NewID(noon.Add(time.Second), 0) {
		t.Error("a later name is not greater")
	}
}

func TestKeysAndNames(t *testing.T) {
	for _, database := range []string{"nova_auth", "Odd name, 100%/", "..", ".probe", "é", "a/b", "a%2Fb"} {
		id := NewID(noon, 0xabcdef)
		db, gotID, name, ok := split(folder(database, id) + manifestName)
		if !ok || db != database || gotID != id || name != manifestName {
			t.Errorf("%q: got %q %q %q %v", database, db, gotID, name, ok)
		}
	}
	for _, key := range []string{"", "a", "a/b", "a/b/c", ".probe/20261122T120000Z-000000/x/y", "a/20261122T120000Z/manifest.json", "é/20261122T120000Z-000000/x"} {
		if _, _, _, ok := split(key); ok {
			t.Errorf("%q counts as a backup's", key)
		}
	}
}

func TestAnomalies(t *testing.T) {
	before := tally(map[string]int64{"gone": 5, "empty": 0, "shrunk": 5000, "small": 10, "same": 5000})
	now := tally(map[string]int64{"shrunk": 500, "small": 0, "same": 4000, "new": 1})
	want := []string{"table gone is gone; it had 5 rows", "table shrunk shrank from 5000 to 500 rows"}
	if diff := cmp.Diff(want, anomalies(before, now)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestShellQuoting(t *testing.T) {
	for in, want := range map[string]string{"plain": "'plain'", "it's; rm -rf": `'it'\''s; rm -rf'`} {
		if got := shellQuote(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func tally(rows map[string]int64) (t pgarchive.Tally) {
	t.Tables = map[string]pgarchive.Table{}
	for name, n := range rows {
		t.Tables[name] = pgarchive.Table{Rows: n}
	}
	return t
}
