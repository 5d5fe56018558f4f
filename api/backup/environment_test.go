package backup_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/internal/validate"
)

func TestSplitDatabases(t *testing.T) {
	for list, want := range map[string][]string{
		"a":             {"a"},
		"a,b":           {"a", "b"},
		" a , b ":       {"a", "b"},
		`"a,b"`:         {"a,b"},
		`"a,b",c`:       {"a,b", "c"},
		`c , "a,b" , d`: {"c", "a,b", "d"},
		`"say ""hi"""`:  {`say "hi"`},
		`" a "`:         {" a "},
		`"*"`:           {"*"},
		`a"b`:           {`a"b`},
		"MixedCase":     {"MixedCase"},
		"a b":           {"a b"},
		"":              nil,
		",":             nil,
		"a,":            nil,
		",a":            nil,
		"a,,b":          nil,
		`"`:             nil,
		`""`:            nil,
		`"a`:            nil,
		`"a"b`:          nil,
		`"a""`:          nil,
		`"a" "b"`:       nil,
		"a\x00b":        nil,
		`"a",`:          nil,
	} {
		got, all, err := backupapi.SplitDatabases(list)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) || all {
			t.Errorf("%s: %v, %t (-want +got):\n%s", list, err, all, diff)
		}
	}
	for _, list := range []string{"*", " * ", "a,*", "*,a"} {
		if _, all, err := backupapi.SplitDatabases(list); err != nil || !all {
			t.Errorf("%s: %t, %v", list, all, err)
		}
	}
}

// numbers are written in every way that overflows, is negative or is no number.
var numbers = []string{
	"9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775808", "99999999999999999999999999", "2147483648", "4294967297",
	"-1", "0", "1e9", "1e400", "0x7fffffffffffffff", "1_000", "+5", "NaN", "Inf", "٧", "1.5", " ", "7 days",
	"9223372036854775807h", "9223372036854775807ns", "2562048h", "-5m", "1e9h", "0s",
}

// No number or duration of the contract can be so large that arithmetic on it
// overflows.
func TestVariable_Check_Numbers(t *testing.T) {
	numeric := []string{backupapi.EnvRetentionDays, backupapi.EnvKeepMinimum, backupapi.EnvParallelism}
	durations := []string{backupapi.EnvDeadline, backupapi.EnvLockWait}
	for _, v := range backupapi.Environment() {
		if !slices.Contains(numeric, v.Name) && !slices.Contains(durations, v.Name) {
			continue
		}
		for _, value := range numbers {
			err := v.Check(value)
			if err == nil {
				n, numberErr := strconv.Atoi(value)
				d, durationErr := time.ParseDuration(value)
				if numberErr != nil && durationErr != nil || n > 36500 || d > 24*time.Hour {
					t.Errorf("%s accepts %q", v.Name, value)
				}
				continue
			}
			var refusal validate.Refusal
			if !errors.As(err, &refusal) || refusal.Setting != v.Name || refusal.Allowed == "" {
				t.Errorf("%s refuses %q with %v", v.Name, value, err)
			}
		}
	}
}
