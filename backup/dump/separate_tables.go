package dump

import (
	"slices"

	"github.com/nova/novawire/backup"
)

// maxSeparate bounds the connections beside the base dump's.
const maxSeparate = 32

// separateTables chooses the tables that get a dump of their own: the biggest, as long as
// what is left for the base dump is more than its share of the streams that move
// at a time. One stream at a time needs no split.
func separateTables(tables []backup.Table, streams int, smallest int64) (big []backup.Table) {
	if streams < 2 {
		return nil
	}
	rest := int64(0)
	for _, t := range tables {
		rest += t.Bytes
	}
	share := rest / int64(streams)
	bySize := slices.Clone(tables)
	slices.SortStableFunc(bySize, func(a, b backup.Table) int { return int(min(1, max(-1, b.Bytes-a.Bytes))) })
	for _, t := range bySize {
		if rest <= share || t.Bytes < smallest || len(big) == maxSeparate {
			break
		}
		big = append(big, t)
		rest -= t.Bytes
	}
	return big
}
