package retention

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
)

var errStore = errors.New("the store is away")

// memory is a store that lists and deletes. It has no way to write.
type memory struct {
	backup.Store
	objects map[string]time.Time // when each key was written
	uploads []backup.Unfinished
	now     time.Time
	locked  map[string]time.Time
	fails   string // a word: the operation or the key that fails
	deleted []string
}

func (m *memory) failing(words ...string) error {
	if m.fails != "" && slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, m.fails) }) {
		return errStore
	}
	return nil
}

func (m *memory) Now(context.Context) (time.Time, error) { return m.now, m.failing("now") }

func (m *memory) List(_ context.Context, prefix string, each func(backup.Object) error) error {
	for _, key := range slices.Sorted(keysOf(m.objects)) {
		if strings.HasPrefix(key, prefix) {
			if err := each(backup.Object{Key: key, Modified: m.objects[key]}); err != nil {
				return err
			}
		}
	}
	return m.failing("list")
}

func keysOf(objects map[string]time.Time) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range objects {
			if !yield(key) {
				return
			}
		}
	}
}

func (m *memory) LockedUntil(_ context.Context, key string) (time.Time, error) {
	return m.locked[key], m.failing("locked")
}

func (m *memory) Delete(_ context.Context, keys ...string) error {
	if len(keys) == 0 {
		return errors.New("a request that deletes nothing")
	}
	if err := m.failing(append(keys, "delete")...); err != nil {
		return err
	}
	m.deleted = append(m.deleted, keys...)
	for _, key := range keys {
		delete(m.objects, key)
	}
	return nil
}

func (m *memory) Unfinished(_ context.Context, each func(backup.Unfinished) error) error {
	for _, u := range m.uploads {
		if err := each(u); err != nil {
			return err
		}
	}
	return m.failing("unfinished")
}

func (m *memory) Discard(_ context.Context, u backup.Unfinished) error {
	if err := m.failing("discard", u.Key); err != nil {
		return err
	}
	m.deleted = append(m.deleted, u.Key)
	return nil
}

// pruned is a database with backups of some ages, in a store that has two objects of
// each beside its manifest.
type pruned struct {
	store     *memory
	inventory backup.Inventory
	ids       []string
	log       bytes.Buffer
	pruner    Pruner
}

func newPruned(t *testing.T, days ...int) *pruned {
	t.Helper()
	p := &pruned{store: &memory{objects: map[string]time.Time{}, locked: map[string]time.Time{}, now: noon}}
	inventory, err := backup.ReadInventory(t.Context(), p.store, "")
	if err != nil {
		t.Fatal(err)
	}
	inventory.Backups = map[string]backup.Records{}
	p.inventory = inventory
	for _, r := range aged(days...) {
		r.Entry.Objects = map[string]backup.Object{}
		for _, name := range []string{"base.zst", backup.ManifestName, "table-1.zst"} {
			key := r.Entry.Folder() + name
			p.store.objects[key] = r.Entry.Taken
			r.Entry.Objects[name] = backup.Object{Key: key}
		}
		p.inventory.Backups["db"] = append(p.inventory.Backups["db"], r)
		p.ids = append(p.ids, r.Entry.ID)
	}
	p.pruner = Pruner{Store: p.store, Now: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(&p.log, nil)), Policy: Policy{Days: 7, KeepMinimum: 1}}
	return p
}

func (p *pruned) folder(i int) string { return backup.Folder("db", p.ids[i]) }

// left returns the places of the backups that the inventory has.
func (p *pruned) left() (places []int) {
	for _, r := range p.inventory.Backups["db"] {
		places = append(places, slices.Index(p.ids, r.Entry.ID))
	}
	return places
}

func TestPruner_Database(t *testing.T) {
	t.Run("deletes the manifest first, then the rest, and forgets the backup", func(t *testing.T) {
		p := newPruned(t, 0, 1, 8)
		plan, err := p.pruner.Database(t.Context(), p.inventory, "db", false)
		if err != nil || plan.Deleted != 1 || outcome(plan.Decisions) != "kkd" {
			t.Fatalf("%+v, %v", plan, err)
		}
		want := []string{p.folder(2) + backup.ManifestName, p.folder(2) + "base.zst", p.folder(2) + "table-1.zst"}
		if diff := gocmp.Diff(want, p.store.deleted); diff != "" {
			t.Error(diff)
		}
		if got := p.left(); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("the inventory has %v", got)
		}
		if log := p.log.String(); strings.Count(log, "backup deleted") != 1 || !strings.Contains(log, p.ids[2]) || !strings.Contains(log, reasonOld) {
			t.Errorf("the log is %s", log)
		}
	})
	t.Run("deletes a backup that is only a manifest", func(t *testing.T) {
		p := newPruned(t, 0, 8)
		objects := p.inventory.Backups["db"][1].Entry.Objects
		delete(objects, "base.zst")
		delete(objects, "table-1.zst")
		plan, err := p.pruner.Database(t.Context(), p.inventory, "db", false)
		if err != nil || plan.Deleted != 1 || !slices.Equal(p.store.deleted, []string{p.folder(1) + backup.ManifestName}) {
			t.Errorf("%+v, %v: %v", plan, err, p.store.deleted)
		}
	})
	t.Run("deletes nothing in a dry run", func(t *testing.T) {
		p := newPruned(t, 0, 8)
		plan, err := p.pruner.Database(t.Context(), p.inventory, "db", true)
		if err != nil || plan.Deleted != 0 || outcome(plan.Decisions) != "kd" || p.store.deleted != nil {
			t.Errorf("%+v, %v: %v", plan, err, p.store.deleted)
		}
	})
	t.Run("keeps a locked backup and says until when", func(t *testing.T) {
		p := newPruned(t, 0, 8, 9, 1)
		p.store.locked[p.folder(1)+backup.ManifestName] = noon.AddDate(0, 1, 0)
		plan, err := p.pruner.Database(t.Context(), p.inventory, "db", false)
		if err != nil || plan.Deleted != 1 || outcome(plan.Decisions) != "kkdk" {
			t.Fatalf("%+v, %v", plan, err)
		}
		if reason := plan.Decisions[1].Reason; reason != "locked in the store until 2026-12-22T12:00:00Z" {
			t.Error(reason)
		}
		if !strings.Contains(p.log.String(), "backup is locked") || slices.ContainsFunc(p.store.deleted, func(key string) bool { return strings.HasPrefix(key, p.folder(1)) }) {
			t.Errorf("deleted %v, log %s", p.store.deleted, p.log.String())
		}
	})
	t.Run("continues after a backup that cannot be deleted", func(t *testing.T) {
		for _, fails := range []string{backup.ManifestName, "base.zst"} {
			p := newPruned(t, 0, 1, 2, 8, 9)
			p.store.fails = p.folder(3) + fails
			plan, err := p.pruner.Database(t.Context(), p.inventory, "db", false)
			if !errors.Is(err, errStore) || !strings.Contains(err.Error(), p.ids[3]) || backup.Category(t.Context(), err) != backupapi.CategoryStore {
				t.Errorf("%s: %v", fails, err)
			}
			if plan.Deleted != 1 || !slices.Equal(p.left(), []int{0, 1, 2, 3}) {
				t.Errorf("%s: %d deleted, the inventory has %v", fails, plan.Deleted, p.left())
			}
			if fails == backup.ManifestName && slices.ContainsFunc(p.store.deleted, func(key string) bool { return strings.HasPrefix(key, p.folder(3)) }) {
				t.Error("a backup lost objects though its manifest stays")
			}
		}
	})
}

// TestPruner_Database_Refuses is the table of what keeps a prune from deleting anything.
func TestPruner_Database_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*pruned)
		category backupapi.Category
		is       error
	}{
		"more than half at once":     {func(p *pruned) { p.inventory.Backups["db"] = p.inventory.Backups["db"][1:] }, backupapi.CategoryRefused, ErrTooMany},
		"a clock that is wrong":      {func(p *pruned) { p.pruner.Now = func() time.Time { return noon.Add(2 * time.Hour) } }, backupapi.CategoryRefused, nil},
		"a store without a clock":    {func(p *pruned) { p.store.fails = "now" }, backupapi.CategoryStore, errStore},
		"a lock that cannot be read": {func(p *pruned) { p.store.fails = "locked" }, backupapi.CategoryStore, errStore},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPruned(t, 0, 1, 8, 9)
			c.change(p)
			plan, err := p.pruner.Database(t.Context(), p.inventory, "db", false)
			if err == nil || backup.Category(t.Context(), err) != c.category || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v", err)
			}
			if p.store.deleted != nil || plan.Deleted != 0 {
				t.Errorf("deleted %v", p.store.deleted)
			}
		})
	}
}

func TestPruner_Orphans(t *testing.T) {
	const day = 24 * time.Hour
	old, young, exact := noon.Add(-49*time.Hour), noon.Add(-47*time.Hour), noon.Add(-48*time.Hour)
	id := func(age time.Duration, n uint32) string { return backup.NewID(noon.Add(-age), n) }
	folder := func(age time.Duration, n uint32) string { return backup.Folder("db", id(age, n)) }
	newStore := func() *memory {
		return &memory{
			now: noon,
			objects: map[string]time.Time{
				folder(3*day, 1) + "base.zst":          old,
				folder(3*day, 2) + "base.zst":          exact,
				folder(3*day, 3) + "base.zst":          young,
				folder(3*day, 4) + "base.zst":          old,
				folder(3*day, 4) + "table-1.zst":       young, // a long run still writes
				folder(3*day, 5) + "base.zst":          old,
				folder(3*day, 5) + backup.ManifestName: old,
				folder(3*day, 6) + "base.zst":          old,
				folder(3*day, 6) + backup.HoldName:     old,
				"somebody/else's file":                 old,
			},
			uploads: []backup.Unfinished{
				{Key: folder(3*day, 7) + "base.zst", Begun: old},
				{Key: folder(3*day, 8) + "base.zst", Begun: exact},
				{Key: folder(3*day, 9) + "base.zst", Begun: young},
				{Key: "somebody/else's upload", Begun: old},
			},
		}
	}
	wanted := []string{
		folder(3*day, 1), folder(3*day, 2),
		folder(3*day, 7) + "base.zst (unfinished upload)", folder(3*day, 8) + "base.zst (unfinished upload)",
	}
	keys := []string{folder(3*day, 1) + "base.zst", folder(3*day, 2) + "base.zst", folder(3*day, 7) + "base.zst", folder(3*day, 8) + "base.zst"}
	sorted := func(list []string) []string { return slices.SortedFunc(slices.Values(list), cmp.Compare[string]) }
	run := func(t *testing.T, store *memory, now time.Time, dryRun bool) ([]string, error) {
		t.Helper()
		return Pruner{Store: store, Now: func() time.Time { return now }}.Orphans(t.Context(), dryRun)
	}
	for name, dryRun := range map[string]bool{"removes what no run will finish": false, "only says so in a dry run": true} {
		t.Run(name, func(t *testing.T) {
			store := newStore()
			removed, err := run(t, store, noon, dryRun)
			if diff := gocmp.Diff(sorted(wanted), sorted(removed)); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			want := sorted(keys)
			if dryRun {
				want = nil
			}
			if got := sorted(store.deleted); !slices.Equal(got, want) {
				t.Errorf("deleted %v", got)
			}
		})
	}
	for name, c := range map[string]struct {
		fails   string
		now     time.Time
		deleted []string
	}{
		"a clock that is wrong":           {"", noon.Add(2 * time.Hour), nil},
		"a store without a clock":         {"now", noon, nil},
		"a listing that fails":            {"list", noon, keys[2:]},
		"a listing of uploads that fails": {"unfinished", noon, keys[:2]},
		"a folder that cannot be deleted": {folder(3*day, 1), noon, keys[1:]},
		"an upload that stays":            {folder(3*day, 7), noon, []string{keys[0], keys[1], keys[3]}},
	} {
		t.Run("reports "+name+" and removes the rest", func(t *testing.T) {
			store := newStore()
			store.fails = c.fails
			_, err := run(t, store, c.now, false)
			if err == nil || c.fails != "" && !errors.Is(err, errStore) {
				t.Errorf("the error is %v", err)
			}
			if category := backup.Category(t.Context(), err); c.fails != "" && category != backupapi.CategoryStore {
				t.Errorf("the category is %s", category)
			}
			if got := sorted(store.deleted); !slices.Equal(got, sorted(c.deleted)) {
				t.Errorf("deleted %v, want %v", got, c.deleted)
			}
		})
	}
}

// TestRetain_Reasons is the table of what people read about a backup.
func TestRetain_Reasons(t *testing.T) {
	week := Policy{Days: 7, KeepMinimum: 1}
	for name, c := range map[string]struct {
		backups backup.Records
		place   int
		want    string
	}{
		"old":        {aged(0, 8), 1, reasonOld},
		"young":      {aged(0, 1), 1, reasonYoung},
		"newest":     {aged(8, 9), 0, reasonNewest},
		"verified":   {verified(aged(0, 8), 1), 1, reasonVerified},
		"held":       {held(aged(0, 8), 1), 1, reasonHeld},
		"unreadable": {with(aged(0, 8), backup.Unreadable, 1), 1, reasonUnknown + "; unreadable: for the test"},
		"misdated":   {with(aged(0, 8), backup.Misdated, 1), 1, reasonMisdated + "; misdated: for the test"},
		"damaged":    {with(aged(0, 8), backup.Damaged, 1), 1, reasonOld + "; damaged: for the test"},
		"last":       {with(aged(8, 9), backup.Damaged, 0, 1), 1, reasonLast + "; damaged: for the test"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Retain(c.backups, week, noon)[c.place].Reason; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
