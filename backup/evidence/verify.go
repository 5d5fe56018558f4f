package evidence

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/signature"
)

// Kinds of problems.
const (
	Changed   = "changed"   // it is not what was signed, or not what the next record followed
	Missing   = "missing"   // records are not there
	Foreign   = "foreign"   // it does not belong into the chain
	Reordered = "reordered" // it is in the place of another record
)

// Problem is one reason why a chain proves less than it should.
type Problem struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"` // of the object, or of the first one that is missing
	Sequence int64  `json:"sequence,omitempty"`
	Problem  string `json:"problem"`
}

// Entry is one record that can be trusted, with who signed it.
type Entry struct {
	Record

	SignedBy string `json:"signedBy"` // the key's fingerprint
	SHA256   string `json:"sha256"`   // of the object
}

// Chain is the evidence of one database.
type Chain struct {
	Database string    `json:"database"`
	Entries  []Entry   `json:"records"`
	Problems []Problem `json:"problems"`
	// Anchored is the newest record that a signed manifest names: up to it, a missing
	// record is noticed. Whether later ones were removed cannot be known.
	Anchored int64 `json:"anchored"`
}

// Verified counts the records of restores that succeeded.
func (c Chain) Verified() (n int) {
	for _, e := range c.Entries {
		if e.Verified {
			n++
		}
	}
	return n
}

// Databases returns the databases that have evidence or backups, in order.
func Databases(ctx context.Context, store backup.Reader) (names []string, err error) {
	found := map[string]bool{}
	err = store.List(ctx, "", func(o backup.Object) error {
		escaped, rest, _ := strings.Cut(o.Key, "/")
		name, err := url.PathUnescape(escaped)
		_, _, _, isBackup := backup.SplitKey(o.Key)
		if err == nil && backup.EscapeDatabase(name) == escaped && (isBackup || strings.HasPrefix(rest, folderName+"/")) && !found[name] {
			found[name] = true
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// VerifyAll verifies the chain of a database or, where it is "", of all.
func VerifyAll(ctx context.Context, store backup.Reader, keys signature.Keys, database string) (chains []Chain, err error) {
	databases := []string{database}
	if database == "" {
		if databases, err = Databases(ctx, store); err != nil {
			return nil, fmt.Errorf("list databases: %w", err)
		}
	}
	chains = []Chain{}
	for _, name := range databases {
		chain, err := Verify(ctx, store, keys, name)
		if err != nil {
			return nil, fmt.Errorf("verify the evidence of %s: %w", name, err)
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

// Verify reads the chain of a database and everything that vouches for it. What is
// wrong with the chain is in its Problems; an error is about the store.
func Verify(ctx context.Context, store backup.Reader, keys signature.Keys, database string) (Chain, error) {
	c := Chain{Database: database, Entries: []Entry{}, Problems: []Problem{}}
	v := verifier{Chain: &c, keys: keys, sums: map[int64]string{}}
	var names []string
	err := store.List(ctx, Folder(database), func(o backup.Object) error {
		names = append(names, strings.TrimPrefix(o.Key, Folder(database)))
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("list evidence: %w", err)
	}
	slices.Sort(names) // the places are numbers of eight digits
	for _, name := range names {
		body, err := signature.ReadObject(ctx, store, Folder(database)+name, MaxRecordBytes)
		if err != nil {
			return c, fmt.Errorf("read %s: %w", name, err)
		}
		v.add(name, body)
	}
	return c, v.anchors(ctx, store)
}

// verifier verifies the records of one chain, in the order of their places.
type verifier struct {
	*Chain

	keys signature.Keys
	last int64            // the place of the record before
	sums map[int64]string // of the objects, by place
}

func (v *verifier) add(name string, body []byte) {
	place, ok := sequenceOf(name)
	if !ok {
		v.problem(Foreign, name, 0, "no record has such a name")
		return
	}
	if place != v.last+1 {
		v.missing(v.last+1, place-1, fmt.Sprintf("%s follows", name))
	}
	v.last, v.sums[place] = place, hashOf(body)
	r, by, err := open(body, v.keys)
	switch {
	case errors.Is(err, signature.ErrInvalid) && by != (signature.PublicKey{}) && !v.keys.Trusts(by, signature.Evidence):
		v.problem(Foreign, name, place, err.Error())
		return
	case err != nil:
		v.problem(Changed, name, place, err.Error())
		return
	case r.Database != v.Database:
		v.problem(Foreign, name, place, fmt.Sprintf("it is a record of database %q", r.Database))
		return
	case r.Sequence != place:
		v.problem(Reordered, name, place, fmt.Sprintf("it is record %d", r.Sequence))
		return
	}
	if before, there := v.sums[place-1]; (there || place == 1) && r.Previous != before {
		v.problem(Changed, name, place, "it was written after another record than the one before it now")
	}
	v.Entries = append(v.Entries, Entry{r, by.Fingerprint(), hashOf(body)})
}

func (v *verifier) problem(kind, name string, place int64, text string) {
	v.Problems = append(v.Problems, Problem{kind, name, place, text})
}

func (v *verifier) missing(first, last int64, how string) {
	text := fmt.Sprintf("record %d is missing: %s", first, how)
	if first != last {
		text = fmt.Sprintf("records %d to %d are missing: %s", first, last, how)
	}
	v.problem(Missing, nameOf(first), first, text)
}

// anchors compares the chain with what signed manifests say of it. So records that were
// removed from its end are noticed, if a backup was made after them.
func (v *verifier) anchors(ctx context.Context, store backup.Reader) error {
	inventory, err := backup.ReadInventory(ctx, signature.Reader{Reader: store, Keys: v.keys}, v.Database)
	if err != nil {
		return err
	}
	last := v.last
	for _, r := range inventory.Backups[v.Database] { // the newest first
		head := r.Summary.Evidence
		if head == nil || r.Condition == backup.Unsigned {
			continue
		}
		v.Anchored = max(v.Anchored, head.Sequence)
		switch sum, there := v.sums[head.Sequence]; {
		case head.Sequence > last:
			v.missing(last+1, head.Sequence, fmt.Sprintf("the signed manifest of backup %s names record %d", r.Entry.ID, head.Sequence))
			last = head.Sequence
		case there && sum != head.SHA256:
			v.problem(Changed, nameOf(head.Sequence), head.Sequence, fmt.Sprintf("the signed manifest of backup %s names another one", r.Entry.ID))
		}
	}
	return nil
}
