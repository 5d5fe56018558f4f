package replica

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// records returns backups of some ages in days, the newest first.
func records(days ...int) (all backup.Records) {
	for _, d := range days {
		at := noon.AddDate(0, 0, -d)
		all = append(all, backup.Record{Entry: backup.Entry{Database: "db", ID: backup.NewID(at, uint32(d)), Taken: at, Committed: true}})
	}
	return all
}

func with(all backup.Records, condition backup.Condition, places ...int) backup.Records {
	for _, i := range places {
		all[i].Condition = condition
	}
	return all
}

func TestMissing(t *testing.T) {
	week := retention.Policy{Days: 7, KeepMinimum: 2}
	cases := map[string]struct {
		source, target backup.Records
		want           string // ages in days
	}{
		"everything is missing in an empty store":               {records(0, 1, 2), nil, "0 1 2"},
		"what is there is not copied again":                     {records(0, 1, 2), records(1), "0 2"},
		"what the copy's retention deletes is not copied":       {records(0, 1, 8, 9), nil, "0 1"},
		"what the copy's retention has deleted stays deleted":   {records(0, 1, 8, 9), records(0, 1), ""},
		"the newest are copied however old they are":            {records(30, 31, 32), nil, "30 31"},
		"a backup that is not good is not copied":               {with(records(0, 1, 2), backup.Damaged, 1), nil, "0 2"},
		"a copy that is incomplete is copied again":             {records(0, 1), with(records(0, 1), backup.Incomplete, 0), "0"},
		"a damaged copy does not count towards the newest ones": {records(30, 31, 32), with(records(30), backup.Damaged, 0), "31 32"},
		"copies that the first store has no longer stay alone":  {records(0), records(1, 2), "0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range missing(c.source, c.target, week, noon) {
				got = append(got, strconv.Itoa(int(noon.Sub(r.Entry.Taken).Hours()/24)))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
