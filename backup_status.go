package novawire

import (
	"encoding/json"
	"fmt"
	"time"
)

// BackupStatus is the value of [AnnotationBackupStatus]: what is known about the
// backups of one StatefulSet. It is on the CronJob, which outlives Jobs, the
// manager and the StatefulSet, and again on the StatefulSet, for its users.
type BackupStatus struct {
	// Schedule and DrillSchedule are in force, in TimeZone, H resolved. An
	// empty DrillSchedule is no drills.
	Schedule      string `json:"schedule,omitempty"`
	DrillSchedule string `json:"drillSchedule,omitempty"`
	TimeZone      string `json:"timeZone,omitempty"`
	Place         string `json:"place,omitempty"` // s3://bucket/prefix
	// Suspended says why no run starts by itself; empty where it does.
	Suspended string `json:"suspended,omitempty"`
	// Refused are bad annotations that came past admission: the CronJob stays as it was.
	Refused   []string               `json:"refused,omitempty"`
	Databases []BackupDatabaseStatus `json:"databases,omitempty"`
	LastRun   *BackupAttempt         `json:"lastRun,omitempty"`
	LastDrill *BackupAttempt         `json:"lastDrill,omitempty"`
	// LastFailure is the newest attempt of any verb that failed.
	LastFailure *BackupAttempt `json:"lastFailure,omitempty"`
	// Failures counts attempts that failed, by category.
	Failures map[BackupCategory]int `json:"failures,omitempty"`
	// Handled is the value of [AnnotationBackupRun] that was acted on.
	Handled string `json:"handled,omitempty"`
	// Counted are the newest pods that are in this status: none is counted twice.
	Counted []string `json:"counted,omitempty"`
}

// BackupAttempt is one pod that ran pg-backup.
type BackupAttempt struct {
	Verb     string         `json:"verb"`
	Job      string         `json:"job"`
	Finished time.Time      `json:"finished"`
	Seconds  float64        `json:"seconds,omitempty"`
	Category BackupCategory `json:"category,omitempty"` // empty: succeeded
	Message  string         `json:"message,omitempty"`
}

// BackupDatabaseStatus is what is known about the backups of one database. Sizes
// and duration are those of the newest backup.
type BackupDatabaseStatus struct {
	Name         string         `json:"name"`
	LastSuccess  *time.Time     `json:"lastSuccess,omitempty"`
	LastVerified *time.Time     `json:"lastVerified,omitempty"`
	Backup       string         `json:"backup,omitempty"`
	Bytes        int64          `json:"bytes,omitempty"`
	Stored       int64          `json:"stored,omitempty"`
	Rows         int64          `json:"rows,omitempty"`
	Seconds      float64        `json:"seconds,omitempty"`
	DrillSeconds float64        `json:"drillSeconds,omitempty"`
	Anomalies    int            `json:"anomalies,omitempty"`
	Failure      BackupCategory `json:"failure,omitempty"` // of the newest attempt
	FailedAt     *time.Time     `json:"failedAt,omitempty"`
	Message      string         `json:"message,omitempty"`
}

// ParseBackupStatus reads the annotation; an empty one is an empty status.
func ParseBackupStatus(value string) (BackupStatus, error) {
	var s BackupStatus
	if value == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return BackupStatus{}, fmt.Errorf("read %s: %w", AnnotationBackupStatus, err)
	}
	return s, nil
}

// Empty tells whether nothing is known.
func (s BackupStatus) Empty() bool { return s.Encode() == "{}" }

// Encode is the annotation's value.
func (s BackupStatus) Encode() string {
	text, err := json.Marshal(s)
	if err != nil {
		return "{}" // times beyond the year 9999: not ours
	}
	return string(text)
}
