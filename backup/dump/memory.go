package dump

import (
	"github.com/nova/novawire/backup/codec"
)

// fixedMemory is what the program takes beside its buffers: runtime, clients, TLS.
const fixedMemory = 48 << 20

// Memory is how many bytes a run holds at most: nothing in it grows with the
// size of a database.
func Memory(streams int, layout Layout) int64 {
	parts := int64(layout.ConcurrentParts+1) * int64(layout.PartSize)
	return fixedMemory + int64(streams)*(parts+codec.Memory)
}

// FitStreams lowers the number of streams until they fit into a limit, in bytes; zero
// is no limit. One stream is always run.
func FitStreams(streams int, layout Layout, limit int64) int {
	for streams > 1 && limit > 0 && Memory(streams, layout) > limit {
		streams--
	}
	return streams
}
