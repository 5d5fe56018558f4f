package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/retention"
)

// Finding is the result of one check of a dry run.
type Finding struct {
	Database string // "" for the store, or for all databases
	Question string
	Answer   string
	Err      error
}

// assumedRate is the assumed rate of one stream, in bytes per second, if there is no earlier
// backup. COPY of one session is about three times as fast.
const assumedRate = 50 << 20

// DryRun checks everything that a run depends on and leaves nothing behind: it connects,
// takes snapshots and locks, dumps definitions, checks permissions and connection limits,
// writes, reads and deletes a probe object, and estimates time and size. It returns the
// error of the first check that failed.
func (r *Runner) DryRun(ctx context.Context, deadline time.Duration) ([]Finding, error) {
	findings := r.probeStores(ctx)
	r.server = r.knownServer(ctx)
	names, err := r.discover(ctx)
	if err == nil {
		names, err = r.excludeDatabases(ctx, names)
	}
	r.matched = map[string]bool{}
	findings = append(findings, finding("", "databases to back up", fmt.Sprint(names), err))
	var total time.Duration
	for _, name := range names {
		found, expected := r.dryRunDatabase(ctx, name)
		findings = append(findings, found...)
		total += expected
	}
	r.warnUnmatched()
	for _, warning := range r.Warnings {
		findings = append(findings, finding("", "warning", warning, nil))
	}
	findings = append(findings, r.checkDeadline(total, deadline), finding("", "memory", fmt.Sprintf("at most %d MiB, whatever the size", Memory(r.Streams, r.Layout)>>20), nil))
	for _, f := range findings {
		if f.Err != nil {
			return findings, fmt.Errorf("%s: %w", f.Question, f.Err)
		}
	}
	return findings, nil
}

func (r *Runner) checkDeadline(expected, deadline time.Duration) Finding {
	f := finding("", "time", fmt.Sprintf("about %s of %s", expected.Round(time.Second), deadline), nil)
	if expected > deadline {
		f.Err = backup.Fail(backupapi.CategoryDeadline, fmt.Errorf("it will take about %s, the deadline is %s", expected.Round(time.Second), deadline))
	}
	return f
}

func finding(database, question, answer string, err error) Finding {
	if err != nil {
		answer = ""
	}
	return Finding{database, question, answer, err}
}

// probeStores probes the store and the second one, and says what protects them.
func (r *Runner) probeStores(ctx context.Context) []Finding {
	findings := r.probeStore(ctx)
	// A store that does not answer would be waited for once more with each question.
	if backup.Category(ctx, findings[0].Err) == backupapi.CategoryStore {
		return append(findings, r.probeCopy(ctx)...)
	}
	for _, p := range r.Store.Protection(ctx) {
		findings = append(findings, finding("", p.Question, p.Answer, nil))
	}
	return append(findings, r.probeCopy(ctx)...)
}

// probeCopy probes the second store, if there is one.
func (r *Runner) probeCopy(ctx context.Context) (findings []Finding) {
	if r.Copy == nil {
		return nil
	}
	second := Runner{Store: r.Copy, Now: r.Now, Random: r.Random}
	for _, f := range second.probeStores(ctx) {
		f.Question = "second store: " + f.Question
		findings = append(findings, f)
	}
	return findings
}

// probeStore does what a run does in the store, under a name that no backup has.
func (r *Runner) probeStore(ctx context.Context) []Finding {
	key := fmt.Sprintf(".probe/%s", backup.NewID(r.Now(), r.Random()))
	body := []byte("written by a dry run of pg-backup; safe to delete\n")
	put := r.Store.PutNew(ctx, key, body)
	found := []Finding{finding("", "write to "+r.Store.Location(), "yes", put)}
	if put != nil {
		return found
	}
	again := r.Store.PutNew(ctx, key, body)
	if again == nil {
		again = errors.New("the store overwrites what is there: it has no conditional writes, so two runs could commit the same backup")
	} else if errors.Is(again, backup.ErrExists) {
		again = nil
	}
	same, read := backup.HoldsContent(ctx, r.Store, key, body)
	if read == nil && !same {
		read = backup.Fail(backupapi.CategoryVerify, errors.New("the store returns other bytes than were written"))
	}
	return append(found,
		finding("", "refuse to overwrite", "yes", backup.Fail(backupapi.CategoryStore, again)),
		finding("", "read back", "yes", read),
		finding("", "upload in parts", "yes", r.probeParts(ctx, key+".parts")),
		finding("", "delete, which prune needs", "yes", r.Store.Delete(ctx, key)),
		finding("", "clock", "agrees with the store's", r.probeClock(ctx)))
}

func (r *Runner) probeParts(ctx context.Context, key string) error {
	upload, err := r.Store.Begin(ctx, key)
	if err != nil {
		return err
	}
	return errors.Join(upload.Part(ctx, 1, []byte("probe")), upload.Abort(ctx))
}

func (r *Runner) probeClock(ctx context.Context) error {
	_, err := retention.Pruner{Store: r.Store, Now: r.Now}.TrustedNow(ctx)
	return err
}

func (r *Runner) dryRunDatabase(ctx context.Context, name string) (found []Finding, expected time.Duration) {
	add := func(question, answer string, err error) { found = append(found, finding(name, question, answer, err)) }
	snapshot, err := r.Source.Open(ctx, name)
	if err != nil {
		add("take and export a snapshot", "", err)
		return found, 0
	}
	defer func() { _ = snapshot.Close(context.WithoutCancel(ctx)) }()
	facts := snapshot.Facts()
	add("take and export a snapshot", fmt.Sprintf("yes; server %s, client %s", facts.Server.Version, facts.Server.Client), nil)
	add("continue the backups of this server", "yes", r.checkServer(facts.Server.Identifier))
	unreadable, err := snapshot.Unreadable(ctx)
	if err == nil && len(unreadable) > 0 {
		err = backup.Fail(backupapi.CategoryPermission, errors.New(backup.Summarize(unreadable)))
	}
	add("read every table, sequence and large object", "yes", err)
	m := backup.Manifest{Database: name, Facts: facts}
	without, err := r.excludeTableData(ctx, snapshot, &m)
	if facts = m.Facts; len(r.ExcludeTableData) > 0 {
		add("leave out table data", fmt.Sprintf("of %d tables: %s", len(without), backup.Summarize(append(m.WithoutData, m.Warnings...))), err)
	}
	tables := withData(snapshot, without)
	expected, stored := r.estimate(ctx, name, facts.Estimate)
	add("size", fmt.Sprintf("%d MiB of tables, about %d MiB stored, %d dumps at once", facts.Estimate>>20, stored>>20, 1+len(separateTables(tables, r.Streams, r.Layout.SeparateFrom))), nil)
	dumps := 1 + len(separateTables(tables, r.Streams, r.Layout.SeparateFrom))
	add("connections", fmt.Sprintf("%d more are needed, and allowed", dumps+1), checkConnections(ctx, snapshot, dumps+1))
	// After the connections were counted: a session counts towards the limits until its
	// process has ended, which may be after pg_dump has.
	add("lock every table and dump the definitions", "yes", dumpDefinitions(ctx, snapshot))
	inventory, err := backup.ReadInventory(ctx, r.Store, name)
	var plan retention.Pruned
	if err == nil {
		plan, err = retention.Pruner{Store: r.Store, Now: r.Now, Log: r.Log, Policy: r.Policy}.Database(ctx, inventory, name, true)
	}
	deletions := 0
	for _, d := range plan.Decisions {
		if d.Delete {
			deletions++
		}
	}
	add("prune", fmt.Sprintf("would keep %d backups and delete %d", len(plan.Decisions)-deletions, deletions), err)
	return found, expected
}

// checkConnections reports an error if a limit does not allow the connections of a
// run's dumps, that of roles among them.
func checkConnections(ctx context.Context, snapshot backup.Snapshot, needed int) error {
	left, err := snapshot.Connections(ctx)
	if err == nil && left < needed {
		err = backup.Fail(backupapi.CategorySource, fmt.Errorf("a run needs %d more connections, the limits of the role, the database and the server allow %d: raise CONNECTION LIMIT or lower PARALLELISM", needed, left))
	}
	return err
}

func dumpDefinitions(ctx context.Context, snapshot backup.Snapshot) error {
	dump, err := snapshot.Definitions(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = dump.Close() }()
	_, err = io.Copy(io.Discard, struct{ io.Reader }{dump})
	return err
}

// estimate estimates from the last backup, or where there is none by a guess.
func (r *Runner) estimate(ctx context.Context, name string, estimate int64) (time.Duration, int64) {
	guess := time.Duration(float64(estimate) / (assumedRate * float64(r.Streams)) * float64(time.Second))
	inventory, err := backup.ReadInventory(ctx, r.Store, name)
	last, found := inventory.Backups[name].Newest(backup.Record.Good)
	if err != nil || !found || last.Summary.Estimate == 0 {
		return guess, estimate / 4
	}
	growth := float64(estimate) / float64(last.Summary.Estimate)
	return time.Duration(growth * float64(last.Summary.Committed.Sub(last.Summary.Started))), int64(growth * float64(last.Summary.Stored))
}
