package retention

import (
	"testing"
	"time"

	"github.com/nova/novawire/backup"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// aged are backups so many days old, the newest first.
func aged(days ...int) (backups []backup.Entry) {
	for i, d := range days {
		at := noon.AddDate(0, 0, -d)
		backups = append(backups, backup.Entry{Database: "db", ID: backup.NewID(at, uint32(i)), Taken: at, Committed: true})
	}
	return backups
}

func TestRetention(t *testing.T) {
	cases := []struct {
		name     string
		backups  []backup.Entry
		verified int // index, or -1
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
	var backups []backup.Entry
	verified := ""
	for day := range 1000 {
		now := noon.AddDate(0, 0, day)
		if day%97 < 60 { // 37 nights of failures, again and again
			backups = append([]backup.Entry{{ID: backup.NewID(now, uint32(day)), Taken: now}}, backups...)
		}
		if day%90 == 45 && len(backups) > 0 {
			verified = backups[0].ID
		}
		var left []backup.Entry
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
	if checkShare(many, Policy{}) == nil || checkShare(many, Policy{TakeMany: true}) != nil || checkShare(many[1:], Policy{}) != nil {
		t.Error("more than half is not what decides")
	}
	if checkSkew(noon, noon.Add(59*time.Minute)) != nil || checkSkew(noon, noon.Add(61*time.Minute)) == nil || checkSkew(noon.Add(61*time.Minute), noon) == nil {
		t.Error("an hour is not what decides")
	}
}
