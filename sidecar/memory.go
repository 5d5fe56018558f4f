package sidecar

import (
	"io/fs"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// memory says how much memory the container may use.
type memory struct {
	limit int64 // in bytes
	own   bool  // GOMEMLIMIT is set, so the runtime's limit stays
	procs bool  // GOMAXPROCS is set
}

// defaultLimit is what the sidecar is sized for without a limit.
const defaultLimit = 64 << 20

// cgroup is where the files of a container's control group are.
var cgroup = os.DirFS("/sys/fs/cgroup")

// readMemory reads the limit from GOMEMLIMIT, or from the control group, of version 2
// or 1.
func readMemory(lookup func(string) (string, bool), group fs.FS) memory {
	_, procs := lookup("GOMAXPROCS")
	m := memory{limit: defaultLimit, procs: procs}
	if _, ok := lookup("GOMEMLIMIT"); ok {
		if n := debug.SetMemoryLimit(-1); n < math.MaxInt64 {
			m.limit, m.own = n*5/4, true
		}
		return m
	}
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		text, err := fs.ReadFile(group, name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n < 1<<40 { // not "max", nor the number that version 1 has for it
			m.limit = n
		}
		break
	}
	m.limit = max(m.limit, 16<<20)
	return m
}

// apply sizes the runtime for a pod: it may use four fifths of the limit, and one
// processor is enough for what one pod sends.
func (m memory) apply() {
	if !m.own {
		debug.SetMemoryLimit(m.limit / 5 * 4)
	}
	if !m.procs {
		runtime.GOMAXPROCS(1)
	}
}

// hard is the limit above which the memory limiter always refuses, and spike what it
// keeps free below that, both in MiB.
func (m memory) hard() int64 { return m.limit / 10 * 7 >> 20 }

func (m memory) spike() int64 { return max(1, m.hard()/5) }
