package verify

import (
	"fmt"
	"slices"

	"github.com/nova/novawire/backup/pgarchive"
)

// differences says how what was found differs from what was backed up.
// Tables whose data was left out come back empty.
func differences(want, got pgarchive.Tally, without []string) (found []string) {
	for name, w := range want.Tables {
		g, there := got.Tables[name]
		switch {
		case !there:
			found = append(found, fmt.Sprintf("table %s: missing, %d rows", name, w.Rows))
		case g.Rows != w.Rows:
			found = append(found, fmt.Sprintf("table %s: %d rows instead of %d", name, g.Rows, w.Rows))
		case g.Sum != w.Sum:
			found = append(found, fmt.Sprintf("table %s: other content in the same number of rows", name))
		}
	}
	for name, g := range got.Tables {
		if _, there := want.Tables[name]; !there && (g.Rows > 0 || !slices.Contains(without, name)) {
			found = append(found, fmt.Sprintf("table %s: not in the backup", name))
		}
	}
	if want.LargeObjects != got.LargeObjects {
		found = append(found, fmt.Sprintf("large objects: %d instead of %d, or other content", got.LargeObjects.Rows, want.LargeObjects.Rows))
	}
	if want.Sequences != got.Sequences {
		found = append(found, fmt.Sprintf("sequences: %d instead of %d, or other positions", got.Sequences.Rows, want.Sequences.Rows))
	}
	found = append(found, objectDifferences(want.Objects, got.Objects)...)
	slices.Sort(found)
	return found
}

// What the same content may have more or less of, depending on how it is dumped.
var notCompared = []string{
	"DATABASE", "DATABASE PROPERTIES", "ENCODING", "STDSTRINGS", "SEARCHPATH", // once an archive
	"TABLE DATA",    // compared by table
	"BLOB", "BLOBS", // by content
	"BLOB METADATA",      //
	"ACL", "DEFAULT ACL", // a grant that says what is so anyway is not dumped again
	"COMMENT", "SCHEMA", // those of public come and go with its owner
	"SEQUENCE SET",           // by position
	"MATERIALIZED VIEW DATA", // not for one that was never filled
}

func objectDifferences(want, got map[string]int) (found []string) {
	for kind, n := range want {
		if got[kind] != n && !slices.Contains(notCompared, kind) {
			found = append(found, fmt.Sprintf("objects: %d of kind %s instead of %d", got[kind], kind, n))
		}
	}
	for kind, n := range got {
		if _, there := want[kind]; !there && !slices.Contains(notCompared, kind) {
			found = append(found, fmt.Sprintf("objects: %d of kind %s, none in the backup", n, kind))
		}
	}
	return found
}
