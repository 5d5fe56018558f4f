package backup

import (
	"encoding/json"
	"fmt"
	"time"
)

// Status is the value of [AnnotationStatus]: the state of the backups of one
// source. The record is the annotation of the CronJob, which outlives Jobs, the
// manager and the source. A StatefulSet has a copy for its users.
type Status struct {
	// Schedule and DrillSchedule are the current schedules in TimeZone, with H
	// resolved. DrillSchedule is "" if there are no drills.
	Schedule      string `json:"schedule,omitempty"`
	DrillSchedule string `json:"drillSchedule,omitempty"`
	TimeZone      string `json:"timeZone,omitempty"`
	Location      string `json:"location,omitempty"` // s3://bucket/prefix
	// Suspended is the reason why no run starts on schedule; "" if runs start.
	Suspended string `json:"suspended,omitempty"`
	// Refused lists bad annotations that admission did not refuse. The CronJob keeps
	// its previous settings.
	Refused   []string         `json:"refused,omitempty"`
	Databases []DatabaseStatus `json:"databases,omitempty"`
	LastRun   *Attempt         `json:"lastRun,omitempty"`
	LastDrill *Attempt         `json:"lastDrill,omitempty"`
	// LastFailure is the newest failed attempt of any verb.
	LastFailure *Attempt `json:"lastFailure,omitempty"`
	// Failures counts attempts that failed, by category.
	Failures map[Category]int `json:"failures,omitempty"`
	// History has the results of the newest days; nil before the first attempt.
	History *History `json:"history,omitempty"`
	// UnprotectedReason is the value of [AnnotationUnprotectedReason] on a source that the
	// audit does not read.
	UnprotectedReason string `json:"unprotectedReason,omitempty"`
	// HandledRun is the value of [AnnotationRun] whose run was started.
	HandledRun string `json:"handled,omitempty"`
	// Counted lists the newest pods that this status includes, so that none is counted
	// twice.
	Counted []string `json:"counted,omitempty"`
}

// Attempt is one pod that ran pg-backup.
type Attempt struct {
	Verb     string    `json:"verb"`
	Job      string    `json:"job"`
	Finished time.Time `json:"finished"`
	Seconds  float64   `json:"seconds,omitempty"`
	Category Category  `json:"category,omitempty"` // empty: succeeded
	Message  string    `json:"message,omitempty"`
}

// DatabaseStatus is the state of the backups of one database. Sizes and duration are
// those of the newest backup.
type DatabaseStatus struct {
	Name         string     `json:"name"`
	LastSuccess  *time.Time `json:"lastSuccess,omitempty"`
	LastVerified *time.Time `json:"lastVerified,omitempty"`
	LastCopied   *time.Time `json:"lastCopied,omitempty"` // nil without a second store
	Backup       string     `json:"backup,omitempty"`
	Bytes        int64      `json:"bytes,omitempty"`
	Stored       int64      `json:"stored,omitempty"`
	Rows         int64      `json:"rows,omitempty"`
	Seconds      float64    `json:"seconds,omitempty"`
	DrillSeconds float64    `json:"drillSeconds,omitempty"`
	Anomalies    int        `json:"anomalies,omitempty"`
	NotGood      int        `json:"notGood,omitempty"`      // backups that do not count as a way back
	PruneRefused bool       `json:"pruneRefused,omitempty"` // the newest run refused to prune
	Failure      Category   `json:"failure,omitempty"`      // of the newest attempt
	FailedAt     *time.Time `json:"failedAt,omitempty"`
	Message      string     `json:"message,omitempty"`
}

// ParseStatus parses the annotation. An empty annotation is an empty status.
func ParseStatus(value string) (Status, error) {
	var s Status
	if value == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return Status{}, fmt.Errorf("read %s: %w", AnnotationStatus, err)
	}
	return s, nil
}

// Empty reports whether nothing is recorded.
func (s Status) Empty() bool { return s.Encode() == "{}" }

// Encode returns the annotation's value.
func (s Status) Encode() string {
	text, err := json.Marshal(s)
	if err != nil {
		return "{}" // times beyond the year 9999: not ours
	}
	return string(text)
}
