// Package journal keeps a queue in a file, so that the queue and its counters outlive
// the process. Records are appended before their sender is told that they were
// accepted, and settled once it is known what became of them. It survives a killed
// process, not a node that loses power: nothing is forced to the disk.
package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nova/novawire/sidecar/ledger"
)

// Record is an item of the queue.
type Record struct {
	ID    uint64
	Items int
	Body  []byte
}

// Damage is what could not be read when the journal was opened, beside the last
// record of a killed process.
type Damage struct {
	Records int
	Bytes   int64
}

// Journal is the open file. It is not safe for concurrent use.
type Journal struct {
	file   *os.File
	path   string
	size   int64
	cut    int64
	damage Damage
	next   uint64
	totals ledger.Totals
	left   []Record // until Replayed
	buffer []byte
}

// Open reads the journal, or begins one. A record that a killed process left
// unfinished at the end is cut off: its sender was not told that it was accepted. A
// journal that another process holds is an error.
func Open(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	for {
		j, err := open(path)
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open journal %s: %w", path, err)
		}
		return j, nil
	}
}

// errReplaced is a file that another process replaced before it was locked.
var errReplaced = errors.New("the file was replaced")

func open(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{file: file, path: path, next: 1}
	if err = j.lock(); err == nil {
		_ = os.Remove(j.fresh()) // of a process that was killed while it rewrote
		err = j.replay()
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return j, nil
}

// lock holds the file against other processes. A process that rewrites puts another
// file in its place: a lock of the old one protects nothing.
func (j *Journal) lock() error {
	if err := syscall.Flock(int(j.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another process holds it: %w", err)
	}
	held, err := j.file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(j.path)
	if err != nil || !os.SameFile(held, named) {
		return errReplaced
	}
	return nil
}

func (j *Journal) fresh() string { return j.path + ".new" }

// Replayed returns, once, the account so far and the records without an outcome.
func (j *Journal) Replayed() (ledger.Totals, []Record) {
	left := j.left
	j.left = nil
	return j.totals, left
}

// Size is the length of the file in bytes.
func (j *Journal) Size() int64 { return j.size }

// Cut is how many bytes of an unfinished record were cut off when the journal was
// opened: the last record of a killed process.
func (j *Journal) Cut() int64 { return j.cut }

// Damage returns what a broken disk made unreadable.
func (j *Journal) Damage() Damage { return j.damage }

// Append writes a record and returns its number.
func (j *Journal) Append(items int, body []byte) (uint64, error) {
	id := j.next
	j.next++
	j.totals.Accepted += int64(items)
	return id, j.write(appended(j.buffer[:0], Record{ID: id, Items: items, Body: body}))
}

// Accept counts items that are not written, as on a full disk.
func (j *Journal) Accept(items int) { j.totals.Accepted += int64(items) }

// Settle writes what became of the records from first to last, of those that have no
// outcome yet. Where first is greater than last there are no records, and only the
// outcome is written.
func (j *Journal) Settle(first, last uint64, t ledger.Totals) error {
	j.add(t)
	return j.write(settled(j.buffer[:0], first, last, t))
}

// Note writes the outcome of items that were accepted and never were a record.
func (j *Journal) Note(t ledger.Totals) error {
	j.add(t)
	j.totals.Accepted += t.Exported
	for _, n := range t.Dropped {
		j.totals.Accepted += n
	}
	return j.write(totals(j.buffer[:0], j.next, j.totals))
}

func (j *Journal) add(t ledger.Totals) {
	j.totals.Exported += t.Exported
	for i, n := range t.Dropped {
		j.totals.Dropped[i] += n
	}
}

// Rewrite replaces the file by one that holds the totals and the live records, which
// it numbers anew, in their order from the number that it returns. Where it fails the
// old file stays as it is.
func (j *Journal) Rewrite(live []Record) (first uint64, err error) {
	fresh, err := os.OpenFile(j.fresh(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("rewrite journal: %w", err)
	}
	old := *j
	first = j.next
	j.file, j.size = fresh, 0
	if err = syscall.Flock(int(fresh.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		err = j.writeAll(live)
	}
	if err == nil {
		err = os.Rename(j.fresh(), j.path)
	}
	if err != nil {
		*j = old
		return 0, errors.Join(fmt.Errorf("rewrite journal: %w", err), os.Remove(j.fresh()), fresh.Close())
	}
	_ = old.file.Close() // it has no name any more, and nothing of it is needed
	return first, nil
}

// writeAll writes the totals of what is not live, and then the live records.
func (j *Journal) writeAll(live []Record) error {
	settledTotals := j.totals
	for _, r := range live {
		settledTotals.Accepted -= int64(r.Items)
	}
	if err := j.write(totals(j.buffer[:0], j.next, settledTotals)); err != nil {
		return err
	}
	for _, r := range live {
		r.ID = j.next
		j.next++
		if err := j.write(appended(j.buffer[:0], r)); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) write(frame []byte) error {
	if cap(frame) <= 64<<10 {
		j.buffer = frame
	}
	seal(frame)
	n, err := j.file.WriteAt(frame, j.size)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j.size += int64(n)
	return nil
}

// replay reads all frames. A damaged one is skipped where its end is known.
func (j *Journal) replay() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	live := newLive()
	reader := io.NewSectionReader(j.file, 0, info.Size())
	for {
		payload, length, err := readFrame(reader)
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errUnfinished) {
			j.cut = info.Size() - j.size
			break
		}
		if errors.Is(err, errLost) {
			j.damage.Records++
			j.damage.Bytes += info.Size() - j.size
			break
		}
		j.size += length
		if errors.Is(err, errDamaged) {
			j.damage.Records++
			j.damage.Bytes += length
			continue
		}
		if err := j.apply(live, payload); err != nil {
			return err
		}
	}
	j.left = live.records()
	j.balance()
	return j.file.Truncate(j.size)
}

// balance counts as accepted what has an outcome or is left: the record that said so
// may be damaged, or may not have been written on a full disk.
func (j *Journal) balance() {
	known := j.totals.Exported
	for _, n := range j.totals.Dropped {
		known += n
	}
	for _, r := range j.left {
		known += int64(r.Items)
	}
	j.totals.Accepted = known
}

// Close closes the file; records without an outcome stay in it.
func (j *Journal) Close() error { return j.file.Close() }
