package evidence

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/signature"
)

// folderName is the folder of the records beside the backups of a database. It is no
// id of a backup.
const folderName = "evidence"

// Folder returns the prefix of a database's records.
func Folder(database string) string {
	return backup.EscapeDatabase(database) + "/" + folderName + "/"
}

// maxSequence is the last record that has a name of eight digits.
const maxSequence = 99_999_999

func nameOf(sequence int64) string { return fmt.Sprintf("%08d.json", sequence) }

// sequenceOf returns the place in the chain that a name stands for.
func sequenceOf(name string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSuffix(name, ".json"), 10, 64)
	return n, err == nil && n >= 1 && nameOf(n) == name
}

// MaxRecordBytes is the largest record, in bytes: one of a thousand tables takes 100 KB.
const MaxRecordBytes = 4 << 20

// Head returns the newest record of a database, nil if there is none. It does not
// verify the record.
func Head(ctx context.Context, store backup.Reader, database string) (*backup.EvidenceHead, error) {
	var head backup.EvidenceHead
	err := store.List(ctx, Folder(database), func(o backup.Object) error {
		if n, ok := sequenceOf(path.Base(o.Key)); ok {
			head.Sequence = max(head.Sequence, n)
		}
		return nil
	})
	if err != nil || head.Sequence == 0 {
		return nil, err
	}
	body, err := signature.ReadObject(ctx, store, Folder(database)+nameOf(head.Sequence), MaxRecordBytes)
	if err != nil {
		return nil, err
	}
	head.SHA256 = hashOf(body)
	return &head, nil
}

// maxAttempts bounds how often a record is written when others are written at the same
// time.
const maxAttempts = 10

// Append signs a record and adds it to the chain of its database. Of two that are added
// at the same time, one comes after the other.
func Append(ctx context.Context, store backup.Store, key signature.Key, r Record) (Record, error) {
	for range maxAttempts {
		head, err := Head(ctx, store, r.Database)
		if err != nil {
			return r, fmt.Errorf("read the newest record: %w", err)
		}
		r.Sequence, r.Previous = 1, ""
		if head != nil {
			r.Sequence, r.Previous = head.Sequence+1, head.SHA256
		}
		if r.Sequence > maxSequence {
			return r, backup.Fail(backupapi.CategoryVerify, fmt.Errorf("there is a record of the number %d, which no drill has written: remove it", head.Sequence))
		}
		body, err := seal(r, key)
		if err != nil {
			return r, err
		}
		name := Folder(r.Database) + nameOf(r.Sequence)
		err = store.PutNew(ctx, name, body)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, backup.ErrExists) {
			return r, fmt.Errorf("write record %d: %w", r.Sequence, err)
		}
		// Another drill was faster, or the answer to our own request was lost.
		if same, readErr := backup.HoldsContent(ctx, store, name, body); readErr == nil && same {
			return r, nil
		}
	}
	return r, errors.New("other drills write records all the time")
}
