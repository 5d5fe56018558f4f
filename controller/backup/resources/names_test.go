package resources

import "testing"

func TestNames_FitTheirLimits(t *testing.T) {
	long := "a-very-long-name-of-a-statefulset-that-holds-a-database"
	for _, name := range []string{BackupName(long), DrillName(long), BackupName(long + "2")} {
		if len(name) > maxCronJobName {
			t.Errorf("%s has %d characters", name, len(name))
		}
	}
	if BackupName(long) == BackupName(long+"2") {
		t.Error("two StatefulSets share a name")
	}
	if job := JobName(BackupName(long), VerbRestore, "x"); len(job) > maxLabelValue {
		t.Errorf("%s has %d characters", job, len(job))
	}
}
