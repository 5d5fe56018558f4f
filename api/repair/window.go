package repair

import (
	"errors"
	"fmt"
	"time"

	"github.com/nova/novawire/api/backup"
)

// Window is a time that comes again in which a repair may start.
type Window struct {
	// Schedule is when it opens: five fields, as a CronJob has them.
	Schedule string `json:"schedule"`
	// Duration is how long it stays open.
	Duration Duration `json:"duration"`
	// TimeZone is a name of the IANA database; UTC if it is empty.
	TimeZone string `json:"timeZone,omitempty"`
}

func (w Window) validate() error {
	if _, err := w.cron(); err != nil {
		return fmt.Errorf("schedule: %q: %w", short(w.Schedule), err)
	}
	if d := time.Duration(w.Duration); d < time.Minute || d > 24*time.Hour {
		return fmt.Errorf("duration: %s: use 1m to 24h", d)
	}
	if _, err := w.location(); err != nil {
		return fmt.Errorf("timeZone: %q: use a name of the IANA time zone database, such as Europe/Berlin", short(w.TimeZone))
	}
	return nil
}

func (w Window) cron() (backup.Cron, error) {
	cron, err := backup.ParseCron(w.Schedule)
	if err == nil && cron.HasH() {
		err = errors.New("a window has no workload that H is derived from: use numbers")
	}
	return cron, err
}

func (w Window) location() (*time.Location, error) {
	if w.TimeZone == "Local" { // that of the manager's node: nobody means it
		return nil, errors.New("not a zone")
	}
	return time.LoadLocation(w.TimeZone)
}

// Open reports whether one of the windows is open at a time, or there is no window.
func (c Config) Open(now time.Time) bool {
	for _, w := range c.Windows {
		if w.open(now) {
			return true
		}
	}
	return len(c.Windows) == 0
}

// open looks for a start of the window at most its duration ago. Minutes that a clock change
// leaves out start nothing, as with CronJobs.
func (w Window) open(now time.Time) bool {
	cron, errCron := w.cron()
	zone, errZone := w.location()
	if errCron != nil || errZone != nil {
		return false // validated before
	}
	for start := now.Truncate(time.Minute); now.Sub(start) < time.Duration(w.Duration); start = start.Add(-time.Minute) {
		if cron.Matches(start.In(zone)) {
			return true
		}
	}
	return false
}
