package dump

import (
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/codec"
)

// fixedMemory is the memory of the program without its buffers, in bytes: runtime,
// clients, TLS.
const fixedMemory = 48 << 20

// rangeMemory is what the ranges of a large table hold for each session, in bytes
// (chunksOfRange of package postgres).
const rangeMemory = 8 << 20

// Memory returns the largest memory of a run, in bytes. It does not depend on the size of
// a database.
func Memory(streams int, layout Layout) int64 {
	parts := int64(layout.ConcurrentParts+1) * int64(layout.PartSize)
	if streams >= backup.RangeWorkers {
		parts += rangeMemory
	}
	return fixedMemory + int64(streams)*(parts+codec.Memory)
}

// FitStreams returns how many streams fit into a memory limit, in bytes, but at least one.
// Zero means that there is no limit.
func FitStreams(streams int, layout Layout, limit int64) int {
	for streams > 1 && limit > 0 && Memory(streams, layout) > limit {
		streams--
	}
	return streams
}
