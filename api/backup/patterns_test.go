package backup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitPatterns(t *testing.T) {
	for list, want := range map[string][]string{
		"audit":                        {"audit"},
		"audit_*, public.log|trace ,x": {"audit_*", "public.log|trace", "x"},
		`"a,b","x""y".z`:               {`"a,b"`, `"x""y".z`},
	} {
		got, err := SplitPatterns(list)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", list, err, diff)
		}
	}
	if diff := cmp.Diff([]string{`"a.b"`, "c"}, PatternParts(`"a.b".c`)); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment_Patterns(t *testing.T) {
	for _, c := range []struct {
		variable, value string
		ok              bool
	}{
		{EnvExcludeTableData, "log_*", true},
		{EnvExcludeTableData, `public.log_?, "Odd.Schema"."T"`, true},
		{EnvExcludeTableData, "db.public.log", false},
		{EnvExcludeTableData, "public.", false},
		{EnvExcludeTableData, ".log", false},
		{EnvExcludeTableData, "a,,b", false},
		{EnvExcludeTableData, `"open`, false},
		{EnvExcludeTableData, "a\nb", false},
		{EnvExcludeDatabases, "test_*|tmp", true},
		{EnvExcludeDatabases, `"a.b"`, true},
		{EnvExcludeDatabases, "a.b", false},
		{EnvExcludeDatabases, " ", false},
	} {
		if err := variable(t, c.variable).Check(c.value); (err == nil) != c.ok {
			t.Errorf("%s=%q: %v, want ok=%v", c.variable, c.value, err, c.ok)
		}
	}
}
