package main

import (
	"strings"
	"testing"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
)

func TestNewBackupCalendar(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // a Thursday
	ago := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	history := func(h *backupapi.History, days int, result backupapi.DayResult) *backupapi.History {
		return h.With(ago(days), result)
	}
	ok, bad, proven, broken := backupapi.DaySucceeded, backupapi.DayFailed, backupapi.DayProven, backupapi.DayRestoreFailed
	attempt := func(days int, category backupapi.Category) *backupapi.Attempt {
		return &backupapi.Attempt{Finished: ago(days), Category: category}
	}
	for name, c := range map[string]struct {
		status         backupapi.Status
		days, restores string // the newest, the last is today
	}{
		"a day that succeeded, after days of which nothing is recorded": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(nil, 0, ok)}, "uus", "...",
		},
		"a day without a run is missing": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(history(nil, 3, ok), 0, ok)}, "usmms", ".....",
		},
		"today is not missing before its run": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(nil, 2, ok)}, "usmw", "....",
		},
		"a day on which no run is scheduled is not missing": {
			backupapi.Status{Schedule: "0 1 * * 1", History: history(nil, 10, ok)}, "us......m...", "............",
		},
		"a failure, and one that was repeated": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(history(history(nil, 1, bad), 0, bad), 0, ok)}, "ufr", "...",
		},
		"a drill that proved a restore, one that failed, and both on a day": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(history(history(history(nil, 2, ok|proven), 1, ok|broken), 0, ok|proven), 0, broken)}, "usss", ".pxx",
		},
		"a drill without a run of that day": {
			backupapi.Status{Schedule: "0 1 * * *", History: history(history(nil, 1, proven), 0, ok)}, "ums", ".p.",
		},
		"a status without a history has its last attempts, and no gaps": {
			backupapi.Status{Schedule: "0 1 * * *", LastRun: attempt(0, ""), LastDrill: attempt(3, backupapi.CategoryVerify)}, "uuuus", ".x...",
		},
		"a status without a history whose last run failed": {
			backupapi.Status{Schedule: "0 1 * * *", LastRun: attempt(1, backupapi.CategoryStore)}, "ufw", "...",
		},
		"a schedule that cannot be read has no gaps": {
			backupapi.Status{Schedule: "at night", History: history(history(nil, 2, ok), 0, ok)}, "us.s", "....",
		},
		"the time zone decides what today is": {
			backupapi.Status{Schedule: "0 1 * * *", TimeZone: "Pacific/Kiritimati", History: history(nil, 0, ok)}, "usw", "...",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := newBackupCalendar(statusEntry{Namespace: "nova", StatefulSet: "db", Status: c.status}, now)
			if len(got.Days) != backupapi.HistoryDays || len(got.Restores) != backupapi.HistoryDays {
				t.Fatalf("%d and %d days", len(got.Days), len(got.Restores))
			}
			if !strings.HasSuffix(got.Days, c.days) || !strings.HasSuffix(got.Restores, c.restores) {
				t.Errorf("…%s %s, want %s %s", got.Days[len(got.Days)-12:], got.Restores[len(got.Restores)-12:], c.days, c.restores)
			}
			first, err := time.Parse(time.DateOnly, got.First)
			if last := first.AddDate(0, 0, backupapi.HistoryDays-1); err != nil || c.status.TimeZone == "" && last.Format(time.DateOnly) != "2026-11-26" {
				t.Errorf("from %s to %s", got.First, last)
			}
		})
	}
}

// The page says of a database what `backup status` says.
func TestNewBackupCalendar_States(t *testing.T) {
	now := time.Now()
	good := backupapi.DatabaseStatus{Name: "nova_auth", LastSuccess: &now, LastVerified: &now, Backup: "a", Bytes: 1 << 30, Stored: 1 << 20}
	bad := backupapi.DatabaseStatus{Name: "nova_feed", LastSuccess: &now, Failure: backupapi.CategoryStore, FailedAt: &now, Message: "no route"}
	for name, c := range map[string]struct {
		status backupapi.Status
		ok     bool
		state  string   // of the source
		states []string // of its databases
	}{
		"all is well":            {backupapi.Status{Databases: []backupapi.DatabaseStatus{good}}, true, "", []string{"ok"}},
		"one database failed":    {backupapi.Status{Databases: []backupapi.DatabaseStatus{good, bad}}, false, "", []string{"ok", "failed 0s ago: store: no route"}},
		"no database yet":        {backupapi.Status{Schedule: "0 1 * * *", TimeZone: "UTC"}, false, "no backup yet; next: 0 1 * * * UTC", nil},
		"a refused annotation":   {backupapi.Status{Refused: []string{"bucket"}}, false, "refused: bucket", nil},
		"suspended, with a past": {backupapi.Status{Suspended: "scaled to 0", Databases: []backupapi.DatabaseStatus{good}}, false, "", []string{"suspended: scaled to 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			entry := statusEntry{Status: c.status}
			got := newBackupCalendar(entry, now)
			var states []string
			for i, d := range got.Databases {
				if states = append(states, d.State); d.State != stateText(entry, c.status.Databases[i], now) {
					t.Errorf("%s differs from backup status", d.State)
				}
			}
			if got.OK != c.ok || got.State != c.state || strings.Join(states, "|") != strings.Join(c.states, "|") {
				t.Errorf("%v %q %q", got.OK, got.State, states)
			}
		})
	}
}
