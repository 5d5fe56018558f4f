package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup/pgarchive"
)

func TestFindAnomalies(t *testing.T) {
	before := tally(map[string]int64{"gone": 5, "empty": 0, "shrunk": 5000, "small": 10, "same": 5000})
	now := tally(map[string]int64{"shrunk": 500, "small": 0, "same": 4000, "new": 1})
	want := []string{"table gone is gone; it had 5 rows", "table shrunk shrank from 5000 to 500 rows"}
	if diff := cmp.Diff(want, findAnomalies(before, now, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"plain": "'plain'", "it's; rm -rf": `'it'\''s; rm -rf'`} {
		if got := shellQuote(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func tally(rows map[string]int64) (t pgarchive.Tally) {
	t.Tables = map[string]pgarchive.Table{}
	for name, n := range rows {
		t.Tables[name] = pgarchive.Table{Rows: n}
	}
	return t
}
