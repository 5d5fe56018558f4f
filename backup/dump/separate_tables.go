package dump

import (
	"slices"

	"github.com/nova/novawire/backup"
)

// maxSeparate is how many tables get a dump, and so a connection, of their own.
const maxSeparate = 32

// separateTables selects the tables that get a dump of their own: the largest ones, until
// the base dump is left with no more than one stream's share. A single stream needs no
// separate dumps.
func separateTables(tables []backup.Table, streams int, smallest int64) (big []backup.Table) {
	if streams < 2 {
		return nil
	}
	rest, share := totalSize(tables), streamShare(tables, streams)
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

// streamShare returns what each stream would dump, in bytes, if all dumped the same.
func streamShare(tables []backup.Table, streams int) int64 {
	return totalSize(tables) / int64(max(1, streams))
}

func totalSize(tables []backup.Table) (n int64) {
	for _, t := range tables {
		n += t.Bytes
	}
	return n
}
