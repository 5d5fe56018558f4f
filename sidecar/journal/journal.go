// Package journal keeps a queue in a file, so that it and its account outlive
// the process. Records are appended before their sender is told that they were
// taken, and settled once it is known what became of them. It survives a killed
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

// Outcome is what became of items.
type Outcome struct {
	Exported bool
	Rejected int           // of the exported: refused by the backend
	Dropped  ledger.Reason // unless exported
	Items    int
}

func (o Outcome) book(t *ledger.Totals) {
	if o.Exported {
		t.Exported += int64(o.Items - o.Rejected)
		t.Dropped[ledger.Rejected] += int64(o.Rejected)
		return
	}
	t.Dropped[o.Dropped] += int64(o.Items)
}

// Journal is the file, open. It is not safe for calls at once.
type Journal struct {
	file   *os.File
	path   string
	size   int64
	cut    int64
	next   uint64
	totals ledger.Totals
	left   []Record // until Replayed
	buffer []byte
}

// Open reads the journal, or begins one. What a killed process left unfinished
// at the end is cut off: its sender was not told that it was taken. A journal
// that another process holds is an error.
func Open(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{file: file, path: path, next: 1}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = j.replay()
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("open journal %s: %w", path, err)
	}
	return j, nil
}

// Replayed returns, once, the account so far and the records without an outcome.
func (j *Journal) Replayed() (ledger.Totals, []Record) {
	left := j.left
	j.left = nil
	return j.totals, left
}

// Size is the length of the file in bytes.
func (j *Journal) Size() int64 { return j.size }

// Cut is how many bytes could not be read when the journal was opened: the last
// record of a killed process, or what a broken disk made of more.
func (j *Journal) Cut() int64 { return j.cut }

// Append writes a record and returns its number.
func (j *Journal) Append(items int, body []byte) (uint64, error) {
	id := j.next
	j.next++
	j.totals.Accepted += int64(items)
	return id, j.write(appended(j.buffer[:0], Record{ID: id, Items: items, Body: body}))
}

// Settle writes what became of the records from first to last, of those that
// have no outcome yet.
func (j *Journal) Settle(first, last uint64, o Outcome) error {
	o.book(&j.totals)
	return j.write(settled(j.buffer[:0], first, last, o))
}

// Note writes the outcome of items that never were a record.
func (j *Journal) Note(o Outcome) error {
	j.totals.Accepted += int64(o.Items)
	o.book(&j.totals)
	return j.write(summed(j.buffer[:0], j.next, j.totals))
}

// Rewrite replaces the file by one that holds the account and what is live.
func (j *Journal) Rewrite(live []Record) error {
	fresh, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("rewrite journal: %w", err)
	}
	old := *j
	j.file, j.size = fresh, 0
	err = syscall.Flock(int(fresh.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for write := range j.rewriting(live) {
		if err == nil {
			err = j.write(write)
		}
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		*j = old
		return errors.Join(fmt.Errorf("rewrite journal: %w", err), fresh.Close())
	}
	return old.file.Close()
}

// rewriting yields the account of what is not live, then the live records.
func (j *Journal) rewriting(live []Record) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		totals := j.totals
		for _, r := range live {
			totals.Accepted -= int64(r.Items)
		}
		if !yield(summed(j.buffer[:0], j.next, totals)) {
			return
		}
		for _, r := range live {
			if !yield(appended(j.buffer[:0], r)) {
				return
			}
		}
	}
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

// replay reads all frames up to the first that is not whole.
func (j *Journal) replay() error {
	live := newLive()
	reader := io.NewSectionReader(j.file, 0, 1<<62)
	for {
		payload, err := readFrame(reader)
		if err != nil {
			break
		}
		if err := j.apply(live, payload); err != nil {
			return err
		}
		j.size += frameHead + int64(len(payload))
	}
	j.left = live.records()
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	j.cut = info.Size() - j.size
	return j.file.Truncate(j.size)
}

// Close gives the file back; what has no outcome stays in it.
func (j *Journal) Close() error { return j.file.Close() }

// Discard gives the file back without what is in it.
func (j *Journal) Discard() {
	_ = os.Remove(j.path)
	_ = j.file.Close()
}
