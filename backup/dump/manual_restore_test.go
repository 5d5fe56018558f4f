package dump

import (
	"slices"
	"strings"
	"testing"

	"github.com/nova/novawire/backup"
)

func TestManualRestore_TimescaleDB(t *testing.T) {
	m := backup.Manifest{Database: "nova", ID: "20261126T010000Z-aaaaaa", Streams: []backup.Stream{{Kind: backup.StreamBase}, {Kind: backup.StreamData, Schema: "public", Table: "t"}}}
	steps := func() (found []string) {
		for _, line := range manualRestore(m, "s3://b/p") {
			for _, step := range []string{"section=pre-data", "timescaledb_pre_restore", "section=data", "section=post-data", "timescaledb_post_restore"} {
				if strings.Contains(line, step) {
					found = append(found, step)
				}
			}
		}
		return found
	}
	if got, want := steps(), []string{"section=pre-data", "section=data", "section=data", "section=post-data"}; !slices.Equal(got, want) {
		t.Errorf("without the extension: %v, want %v", got, want)
	}
	m.Facts.Extensions = map[string]string{"timescaledb": "2.22.1"}
	if got, want := steps(), []string{"section=pre-data", "timescaledb_pre_restore", "section=data", "section=data", "section=post-data", "timescaledb_post_restore"}; !slices.Equal(got, want) {
		t.Errorf("with the extension: %v, want %v", got, want)
	}
}
