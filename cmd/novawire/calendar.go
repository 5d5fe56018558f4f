package main

import (
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/units"
)

// backupCalendar is the backups of one source as the dashboard shows them.
type backupCalendar struct {
	Namespace     string             `json:"namespace"`
	Source        string             `json:"source"` // NAME of a StatefulSet, else KIND/NAME
	Schedule      string             `json:"schedule,omitempty"`
	DrillSchedule string             `json:"drillSchedule,omitempty"`
	TimeZone      string             `json:"timeZone,omitempty"`
	Location      string             `json:"location,omitempty"`
	OK            bool               `json:"ok"`
	State         string             `json:"state"` // of the source; "" if its databases say it
	Databases     []calendarDatabase `json:"databases"`
	// First is the first day of the calendar, the last is today.
	First string `json:"first"`
	// Days has a letter for each day: what happened to the backup (dayLetter).
	Days string `json:"days"`
	// Restores has a letter for each day: p proven, x failed, or a dot.
	Restores string `json:"restores"`
}

// calendarDatabase is one line of `backup status`.
type calendarDatabase struct {
	Name         string     `json:"name"`
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastVerified *time.Time `json:"lastVerified,omitempty"`
	Size         string     `json:"size,omitempty"`
	Stored       string     `json:"stored,omitempty"`
	OK           bool       `json:"ok"`
	State        string     `json:"state"`
}

func newBackupCalendar(s statusEntry, now time.Time) backupCalendar {
	c := backupCalendar{
		Namespace: s.Namespace, Source: s.StatefulSet, Schedule: s.Schedule, DrillSchedule: s.DrillSchedule, TimeZone: s.TimeZone,
		Location: s.Location, OK: true, Databases: []calendarDatabase{},
	}
	for _, d := range s.Databases {
		line := calendarDatabase{Name: d.Name, LastSuccess: d.LastSuccess, LastVerified: d.LastVerified, State: stateText(s, d, now)}
		if d.Backup != "" {
			line.Size, line.Stored = units.Bytes(d.Bytes), units.Bytes(d.Stored)
		}
		line.OK = line.State == "ok"
		c.OK = c.OK && line.OK
		c.Databases = append(c.Databases, line)
	}
	if len(s.Databases) == 0 {
		c.OK, c.State = false, stateText(s, backupapi.DatabaseStatus{}, now)
	}
	c.fill(&s.Status, now)
	return c
}

// fill writes the days. A status that an older manager wrote has no history: its last
// attempts are all that is known.
func (c *backupCalendar) fill(s *backupapi.Status, now time.Time) {
	if zone, err := time.LoadLocation(s.TimeZone); err == nil {
		now = now.In(zone)
	}
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	first := today.AddDate(0, 0, 1-backupapi.HistoryDays)
	cron, err := backupapi.ParseCron(s.Schedule)
	scheduled := func(day time.Time) bool { return err == nil && cron.RunsOn(day) }
	history := s.History
	if history == nil {
		history = lastAttempts(s, now.Location())
	}
	days, restores := make([]byte, 0, backupapi.HistoryDays), make([]byte, 0, backupapi.HistoryDays)
	recorded := false
	for day := first; !day.After(today); day = day.AddDate(0, 0, 1) {
		result := history.On(day)
		recorded = recorded || result != 0
		known := recorded && s.History != nil
		days = append(days, dayLetter(result, known, scheduled(day), day.Equal(today)))
		restores = append(restores, restoreLetter(result))
	}
	c.First, c.Days, c.Restores = first.Format(time.DateOnly), string(days), string(restores)
}

// lastAttempts returns the history that the last attempts make.
func lastAttempts(s *backupapi.Status, zone *time.Location) (h *backupapi.History) {
	add := func(a *backupapi.Attempt, succeeded, failed backupapi.DayResult) {
		if a == nil {
			return
		}
		result := succeeded
		if a.Category != backupapi.CategorySucceeded {
			result = failed
		}
		h = h.With(a.Finished.Add(-time.Duration(a.Seconds*float64(time.Second))).In(zone), result)
	}
	add(s.LastRun, backupapi.DaySucceeded, backupapi.DayFailed)
	add(s.LastDrill, backupapi.DayProven, backupapi.DayRestoreFailed)
	return h
}

// dayLetter returns what happened to the backup on a day: s succeeded, r succeeded after a
// failure, f failed, m missing, w not run yet, a dot for a day without a start, and u for a
// day of which nothing is recorded.
func dayLetter(result backupapi.DayResult, known, scheduled, today bool) byte {
	const both = backupapi.DaySucceeded | backupapi.DayFailed
	switch {
	case result&both == both:
		return 'r'
	case result&backupapi.DaySucceeded != 0:
		return 's'
	case result&backupapi.DayFailed != 0:
		return 'f'
	case scheduled && today:
		return 'w'
	case !known:
		return 'u'
	case scheduled:
		return 'm'
	}
	return '.'
}

// restoreLetter returns what a drill found on a day.
func restoreLetter(result backupapi.DayResult) byte {
	switch {
	case result&backupapi.DayRestoreFailed != 0:
		return 'x'
	case result&backupapi.DayProven != 0:
		return 'p'
	}
	return '.'
}
