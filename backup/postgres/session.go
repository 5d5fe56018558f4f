package postgres

import (
	"maps"
	"strconv"
	"strings"
)

const (
	// sortMemory is what each process that sorts an index has, in bytes: the least
	// for which PostgreSQL starts a process at all, and about what stays in a
	// processor's cache. More makes it slower: 5 million rows of text and time took
	// 6.5 s of processor time with 32 MB each, 9.2 s with 256 MB.
	sortMemory = 32 << 20
	// largeRestore is from where so little would need a second pass over what was
	// sorted, in bytes, and sortMuch is what a process has then.
	largeRestore    = 16 << 30
	largeSortMemory = 128 << 20
	// parallelSort is the version that builds indexes by several processes.
	parallelSort = 11
)

// withSession is the address with settings that make a restore faster and are
// any session's to choose: commits that do not wait for the disk (a restore that
// is interrupted is started anew), memory for sorting indexes, and no processes
// for small ones, which are done sooner than a process is started. A session has
// two processes, or as many as it stands for slots of the restore.
func (t *Target) withSession(slots int, bytes int64) Address {
	processes, memory := max(2, slots), sortMemory
	if bytes > largeRestore {
		memory = largeSortMemory
	}
	settings := []string{"synchronous_commit=off", "maintenance_work_mem=" + strconv.Itoa(processes*memory>>10) + "kB"}
	if t.Major >= parallelSort {
		settings = append(settings, "min_parallel_table_scan_size=64MB", "max_parallel_maintenance_workers="+strconv.Itoa(processes-1))
	}
	address := t.Address
	address.serverMonetary = t.ServerMonetaryLocale
	address.parameters = maps.Clone(t.Address.parameters)
	if address.parameters == nil {
		address.parameters = map[string]string{}
	}
	address.parameters["options"] = strings.TrimSpace(address.parameters["options"] + " -c " + strings.Join(settings, " -c "))
	return address
}
