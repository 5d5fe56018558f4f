package dump

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/backup"
)

func TestSeparateTables(t *testing.T) {
	const mb = 1 << 20
	table := func(name string, megabytes int64) backup.Table {
		return backup.Table{Name: name, Bytes: megabytes * mb}
	}
	many := make([]backup.Table, 200)
	for i := range many {
		many[i] = table("t", 100)
	}
	cases := []struct {
		name    string
		tables  []backup.Table
		streams int
		want    []string
	}{
		{"one stream needs no split", []backup.Table{table("a", 1000)}, 1, nil},
		{"small databases are one dump", []backup.Table{table("a", 60), table("b", 50)}, 4, nil},
		{"one large and the small ones", []backup.Table{table("s1", 70), table("big", 500), table("s2", 70)}, 2, []string{"big"}},
		{"takes the biggest until the rest is a fair share", []backup.Table{table("a", 100), table("b", 400), table("c", 300), table("d", 200)}, 2, []string{"b", "c"}},
		{"a single table goes apart", []backup.Table{table("a", 5000)}, 2, []string{"a"}},
		{"equal tables are split", []backup.Table{table("a", 100), table("b", 100), table("c", 100), table("d", 100)}, 2, []string{"a", "b"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, table := range separateTables(c.tables, c.streams, 64*mb) {
				got = append(got, table.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if got := len(separateTables(many, 16, 64*mb)); got != maxSeparate {
		t.Errorf("of 200 tables %d go apart, want %d", got, maxSeparate)
	}
}
