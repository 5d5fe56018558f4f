// Package report turns the result of a verb into measurements. Its subpackages send
// them.
package report

import (
	"time"

	backupapi "github.com/nova/novawire/api/backup"
)

// Measurement is one number that a verb reports.
type Measurement struct {
	Name     string
	Unit     string // as CloudWatch names units: Count, Seconds, Bytes
	Value    float64
	Database string
	Category backupapi.Category
}

// Names of the measurements. They are the alarms' and the dashboards' interface.
const (
	MeasureSuccess       = "BackupSuccess" // 1 or 0, of each database of a run
	MeasureFailure       = "BackupFailure" // 1, with the category
	MeasureDuration      = "BackupDuration"
	MeasureBytes         = "BackupBytes"
	MeasureStored        = "BackupStoredBytes"
	MeasureAge           = "BackupAge"
	MeasureVerifiedAge   = "VerifiedRestoreAge"
	MeasureAnomalies     = "BackupAnomalies"
	MeasurePruned        = "BackupsPruned"
	MeasurePruneRefused  = "PruneRefused"         // 1 if retention would have deleted too much
	MeasureNotGood       = "BackupsNotGood"       // backups that do not count as a way back
	MeasureHeld          = "SnapshotHeld"         // how long it held vacuum back
	MeasureHeldAge       = "SnapshotTransactions" // age(backend_xmin) at its end
	MeasureCopyFailure   = "CopyFailure"          // 1 if a backup is not in the second store
	MeasureCopyAge       = "CopyAge"              // of the newest good backup there
	MeasureDrillSuccess  = "DrillSuccess"
	MeasureDrillDuration = "DrillDuration"
)

// Measure returns the measurements of a result. Verbs that only read report none.
func Measure(r backupapi.Result, now time.Time) (all []Measurement) {
	if r.DryRun || r.Verb != "run" && r.Verb != "drill" {
		return nil
	}
	if len(r.Databases) == 0 && !r.Succeeded() { // it failed before the first database
		all = append(all, Measurement{MeasureFailure, "Count", 1, "", r.Category})
	}
	for _, d := range r.Databases {
		all = append(all, measureDatabase(r.Verb, d, now)...)
	}
	return all
}

func measureDatabase(verb string, d backupapi.DatabaseResult, now time.Time) (all []Measurement) {
	add := func(name, unit string, value float64) {
		all = append(all, Measurement{Name: name, Unit: unit, Value: value, Database: d.Name})
	}
	success, duration := MeasureSuccess, MeasureDuration
	if verb == "drill" {
		success, duration = MeasureDrillSuccess, MeasureDrillDuration
	}
	if d.Category == backupapi.CategorySucceeded {
		add(success, "Count", 1)
	} else {
		add(success, "Count", 0)
		all = append(all, Measurement{MeasureFailure, "Count", 1, d.Name, d.Category})
	}
	add(duration, "Seconds", d.Seconds)
	if verb == "run" && d.Backup != "" {
		add(MeasureBytes, "Bytes", float64(d.Bytes))
		add(MeasureStored, "Bytes", float64(d.Stored))
		add(MeasureAnomalies, "Count", float64(d.Anomalies))
		add(MeasurePruned, "Count", float64(d.Pruned))
		add(MeasureHeld, "Seconds", d.HeldSeconds)
		add(MeasureHeldAge, "Count", float64(d.HeldTransactions))
	}
	add(MeasureNotGood, "Count", float64(d.NotGood))
	if verb == "run" {
		refused := 0.0
		if d.PruneRefused != "" {
			refused = 1
		}
		add(MeasurePruneRefused, "Count", refused)
	}
	if d.LastCopied != nil || d.CopyFailed != "" {
		failed := 0.0
		if d.CopyFailed != "" {
			failed = 1
		}
		add(MeasureCopyFailure, "Count", failed)
	}
	if d.LastCopied != nil {
		add(MeasureCopyAge, "Seconds", age(now, *d.LastCopied))
	}
	if d.LastSuccess != nil {
		add(MeasureAge, "Seconds", age(now, *d.LastSuccess))
	}
	if d.LastVerified != nil {
		add(MeasureVerifiedAge, "Seconds", age(now, *d.LastVerified))
	}
	return all
}

// age is never negative: a clock that is wrong must not silence an alarm.
func age(now, since time.Time) float64 { return max(0, now.Sub(since).Seconds()) }
